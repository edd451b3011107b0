package decompress

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdDecoders holds decoders for reuse. Making one takes longer than decoding a small NAR, and a cache has thousands of those.
// The output does not depend on what a decoder has decoded before.
var zstdDecoders sync.Pool

// maxPooledWindow is the largest window of a decoder that is reused. zstd needs no larger one up to level 19.
const maxPooledWindow = 8 << 20

// newZstd returns a decoder and a function that frees it.
func newZstd(h *headReader) (io.Reader, func(), error) {
	z, ok := zstdDecoders.Get().(*zstd.Decoder)
	if ok {
		if err := z.Reset(h); err != nil {
			return nil, nil, err
		}
	} else {
		var err error
		z, err = zstd.NewReader(h, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
		if err != nil {
			return nil, nil, err
		}
	}
	return z, func() {
		if h.window() > maxPooledWindow || z.Reset(nil) != nil {
			z.Close()
			return
		}
		zstdDecoders.Put(z)
	}, nil
}

// maxHead is enough to find the size of the window in the header of a frame.
const maxHead = 64

// headReader remembers the beginning of a stream.
// It also hides a buffer in memory from package zstd, which would decode the whole buffer at once.
type headReader struct {
	r    io.Reader
	head []byte
}

func (h *headReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if room := maxHead - len(h.head); room > 0 {
		h.head = append(h.head, p[:min(n, room)]...)
	}
	return n, err
}

// window returns the window of the first zstd frame.
// If a later frame has a larger one, the decoder keeps its memory until the garbage collector empties the pool.
func (h *headReader) window() uint64 {
	var header zstd.Header
	if header.Decode(h.head) != nil {
		return 0
	}
	if header.SingleSegment {
		return header.FrameContentSize
	}
	return header.WindowSize
}
