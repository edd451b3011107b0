package decompress

import (
	"io"
	"sync"

	"github.com/export-profile/export-profile/profile/decompress/lzip"
)

// lzipReaders holds readers for reuse, as zstdDecoders does.
var lzipReaders sync.Pool

// newLzip returns a reader of r and a function that frees it.
func newLzip(r io.Reader, trailing func()) (io.Reader, func()) {
	o := lzip.Options{Window: MaxWindow, Trailing: trailing}
	z, ok := lzipReaders.Get().(*lzip.Reader)
	if ok {
		z.Reset(r, o)
	} else {
		z = lzip.NewReader(r, o)
	}
	return z, func() {
		z.Reset(nil, lzip.Options{}) // forget r
		if z.Memory() <= maxPooledLZMA {
			lzipReaders.Put(z)
		}
	}
}
