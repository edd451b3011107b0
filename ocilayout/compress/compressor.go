package compress

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// compressor compresses blocks one after the other, each for itself:
// what it makes of a block does not depend on those before it.
type compressor struct {
	deflate *flate.Writer // for gzip
	to      appendWriter  // of deflate
	zstd    *zstd.Encoder // or neither
}

func (m Method) compressor() (*compressor, error) {
	switch m.algorithm {
	case algorithmGzip:
		w, err := flate.NewWriter(nil, m.effective())
		if err != nil {
			return nil, err
		}
		return &compressor{deflate: w}, nil
	case algorithmZstd:
		w, err := zstd.NewWriter(nil,
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(m.effective())),
			zstd.WithWindowSize(blockBytes),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, err
		}
		return &compressor{zstd: w}, nil
	}
	return &compressor{}, nil
}

// append appends what is to be stored of a block.
func (z *compressor) append(dst, block []byte) ([]byte, error) {
	switch {
	case z.zstd != nil:
		return z.zstd.EncodeAll(block, dst), nil
	case z.deflate != nil:
		z.to = dst
		z.deflate.Reset(&z.to)
		_, err := z.deflate.Write(block)
		if err == nil {
			err = z.deflate.Flush() // up to a whole byte, so that any block can follow
		}
		return z.to, err
	}
	return append(dst, block...), nil
}

type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// gzipHeader is RFC 1952's: deflate, without name, time, or a system that it was made on.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// head is what comes before the blocks, and tail what comes after them.
func (m Method) head() []byte {
	if m.algorithm == algorithmGzip {
		return gzipHeader
	}
	return nil
}

func (m Method) tail(crc uint32, size int64) []byte {
	if m.algorithm != algorithmGzip {
		return nil
	}
	b := []byte{3, 0} // the last block of all, which is empty
	b = binary.LittleEndian.AppendUint32(b, crc)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}
