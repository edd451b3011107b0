package decompress

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Decoders are used again: to make one takes longer than to decode a small NAR, and a cache has thousands of those.
// Which one it is makes no difference to what comes out.
var zstdDecoders sync.Pool

// maxKeptWindow is the largest window whose memory is kept for the next stream: what zstd uses up to level 19.
const maxKeptWindow = 8 << 20

// newZstd is a decoder, and what gives it back.
func newZstd(h *headed) (io.Reader, func(), error) {
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
		if h.window() > maxKeptWindow || z.Reset(nil) != nil {
			z.Close()
			return
		}
		zstdDecoders.Put(z)
	}, nil
}

// maxHead is where the sizes of windows are: at the beginning of a zstd frame and of the first block in xz.
const maxHead = 64

// headed remembers what a stream begins with.
// It also keeps package zstd from seeing a buffer in memory, which it would decode at once and whole.
type headed struct {
	r    io.Reader
	head []byte
}

func (h *headed) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if room := maxHead - len(h.head); room > 0 {
		h.head = append(h.head, p[:min(n, room)]...)
	}
	return n, err
}

// window is that of the first frame.
// A later frame's may be larger; its memory is kept until the garbage collector empties the pool.
func (h *headed) window() uint64 {
	var header zstd.Header
	if header.Decode(h.head) != nil {
		return 0
	}
	if header.SingleSegment {
		return header.FrameContentSize
	}
	return header.WindowSize
}
