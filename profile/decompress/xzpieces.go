package decompress

import (
	"io"

	"github.com/export-profile/export-profile/profile/decompress/xz"
)

type xzBlock = xz.Block

// xzPieces splits a file of xz into blocks. If a block does not declare its sizes, the rest of the file is one piece.
type xzPieces struct {
	z        *xz.Reader
	free     func()
	trailing bool
}

func newXZPieces(r io.Reader, trailing bool) *xzPieces {
	f := &xzPieces{}
	var called func()
	if trailing {
		called = func() { f.trailing = true }
	}
	f.z, f.free = newXZ(r, called)
	return f
}

func (f *xzPieces) find() (piece, error) {
	b, err := f.z.NextBlock()
	const most = 1 << 30 // is far too large, and fits into an int
	return piece{
		packed: int(min(b.Packed, most)), size: int(min(b.Size, most)), known: true, xz: b,
		apart: b.Packed > 0 && min(b.Window, b.Size) <= maxPooledWindow,
	}, err
}

func (f *xzPieces) Read(p []byte) (int, error) { return f.z.ReadPacked(p) }

func (f *xzPieces) decoder(p piece, r io.Reader) (io.Reader, func(), error) {
	if p.xz.Packed == 0 {
		return f.z, func() {}, nil
	}
	z, free := newXZ(nil, nil)
	z.ResetBlock(r, p.xz, xz.Options{Window: MaxWindow})
	return z, free, nil
}

func (f *xzPieces) foundTrailing() bool { return f.trailing }

func (f *xzPieces) close() { f.free() }
