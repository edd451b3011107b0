package decompress

import (
	"io"
	"sync"

	"github.com/export-profile/export-profile/profile/decompress/xz"
)

// xzReaders holds readers for reuse, as zstdDecoders does.
var xzReaders sync.Pool

// newXZ returns a reader of r and a function that frees it.
func newXZ(r io.Reader, trailing func()) (*xz.Reader, func()) {
	o := xz.Options{Window: MaxWindow, Trailing: trailing}
	z, ok := xzReaders.Get().(*xz.Reader)
	if ok {
		z.Reset(r, o)
	} else {
		z = xz.NewReader(r, o)
	}
	return z, func() {
		z.Reset(nil, xz.Options{}) // forget r
		if z.Memory() <= maxPooledLZMA {
			xzReaders.Put(z)
		}
	}
}

// maxPooledLZMA is the memory of a reader that is reused. xz and lzip need no more up to level 6, nor does Nix.
const maxPooledLZMA = 11 << 20
