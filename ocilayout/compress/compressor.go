package compress

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// compressor compresses blocks one after the other.
// Its output for a block does not depend on earlier blocks.
type compressor struct {
	deflate *flate.Writer // for gzip
	out     appendWriter  // the destination of deflate
	zstd    *zstd.Encoder // for zstd
}

func (m Method) compressor() (*compressor, error) {
	switch m.algorithm {
	case algorithmGzip:
		w, err := flate.NewWriter(nil, m.levelOrDefault())
		if err != nil {
			return nil, err
		}
		return &compressor{deflate: w}, nil
	case algorithmZstd, algorithmZstdChunked:
		w, err := zstd.NewWriter(nil,
			zstd.WithEncoderCRC(m.algorithm == algorithmZstd), // frames of chunks are many, and have digests
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(m.levelOrDefault())),
			zstd.WithWindowSize(blockBytes),
			zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, err
		}
		return &compressor{zstd: w}, nil
	}
	return &compressor{}, nil
}

// append appends the compressed form of a block to dst.
func (z *compressor) append(dst, block []byte) ([]byte, error) {
	switch {
	case z.zstd != nil:
		return z.zstd.EncodeAll(block, dst), nil
	case z.deflate != nil:
		z.out = dst
		z.deflate.Reset(&z.out)
		_, err := z.deflate.Write(block)
		if err == nil {
			err = z.deflate.Flush() // ends at a whole byte, so that any block can follow
		}
		return z.out, err
	}
	return append(dst, block...), nil
}

type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	if cap(*w)-len(*w) < len(p) {
		more := make([]byte, len(*w), max(len(*w)+len(p), 2*cap(*w))) // append would copy it more often
		copy(more, *w)
		*w = more
	}
	*w = append(*w, p...)
	return len(p), nil
}

// gzipHeader is a header by RFC 1952: deflate, without name or time, with unknown operating system.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// head returns the bytes before the blocks, and tail the bytes after them.
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
	b := []byte{3, 0} // an empty final deflate block
	b = binary.LittleEndian.AppendUint32(b, crc)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}
