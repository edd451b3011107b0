package binarycache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
)

// readError says which file of the cache an error comes from.
type readError struct {
	name string
	err  error
}

func (e *readError) Error() string { return fmt.Sprintf("read %q: %v", e.name, e.err) }
func (e *readError) Unwrap() error { return e.err }

// named makes an error say which file it comes from, once.
func named(name string, err error) error {
	var known *readError
	if errors.As(err, &known) {
		return err
	}
	return &readError{name, err}
}

// unpacked is a NAR as it comes out of its compression.
// At its end, the file that it came from has been checked.
type unpacked struct {
	ctx  context.Context
	name string
	file *packed
	z    io.ReadCloser
	left int64 // bytes of NarSize that are still to come
	size int64
}

func newUnpacked(ctx context.Context, name string, n *NarInfo, src io.ReadCloser, progress func(int64)) (*unpacked, error) {
	file, err := newPacked(n, src, progress)
	if err != nil {
		return nil, named(name, errors.Join(err, src.Close()))
	}
	z, err := decompress.Named(n.Compression, file)
	if err != nil {
		return nil, named(name, errors.Join(file.why(err), src.Close()))
	}
	return &unpacked{ctx, name, file, z, n.NarSize, n.NarSize}, nil
}

func (u *unpacked) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	if int64(len(p)) > u.left+1 {
		p = p[:u.left+1]
	}
	n, err := u.z.Read(p)
	if u.left -= int64(n); u.left < 0 {
		u.left = 0
		return n - 1, named(u.name, fmt.Errorf("more than the %d bytes of NarSize", u.size))
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		err = u.file.end()
	default:
		err = u.file.why(err)
	}
	if err != nil {
		return n, named(u.name, err)
	}
	return n, io.EOF
}

func (u *unpacked) Close() error {
	return errors.Join(u.z.Close(), u.file.Close())
}

// packed is the file that a narinfo names, checked against what it says of the file.
type packed struct {
	io.ReadCloser
	progress func(int64)
	size     int64 // by the narinfo, or 0
	limit    int64 // it is not longer, whatever anybody says
	hash     profile.Hash
	sum      hash.Hash
	n        int64
	err      error
}

// maxPacked is how long a compressed NAR may be:
// no compression makes it much longer, but some can be fed forever and say nothing.
func maxPacked(narSize int64) int64 {
	if narSize > 1<<61 {
		return 1 << 62
	}
	return 2*narSize + 1<<20
}

func newPacked(n *NarInfo, src io.ReadCloser, progress func(int64)) (*packed, error) {
	f := &packed{ReadCloser: src, progress: progress, size: n.FileSize, limit: maxPacked(n.NarSize), hash: n.FileHash}
	if f.size > f.limit {
		return nil, fmt.Errorf("FileSize is %d for a NAR of %d bytes", f.size, n.NarSize)
	}
	if f.size > 0 {
		f.limit = f.size
	}
	if f.hash.Known() {
		f.sum = sha256.New()
	}
	return f, nil
}

func (f *packed) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.ReadCloser.Read(p)
	f.n += int64(n)
	if f.sum != nil {
		f.sum.Write(p[:n])
	}
	if n > 0 && f.progress != nil {
		f.progress(int64(n))
	}
	switch {
	case f.n > f.limit && f.size > 0:
		err = fmt.Errorf("more than the %d bytes of FileSize", f.size)
	case f.n > f.limit:
		err = fmt.Errorf("more than %d bytes, for a NAR that has not half as many", f.limit)
	case err == io.EOF && f.n < f.size:
		err = fmt.Errorf("%d of the %d bytes of FileSize: %w", f.n, f.size, io.ErrUnexpectedEOF)
	case err == io.EOF && f.sum != nil:
		if got := profile.Hash(f.sum.Sum(nil)); got != f.hash {
			err = fmt.Errorf("hash of the compressed NAR is %v, not %v: it was changed or damaged", got, f.hash)
		}
	}
	f.err = err
	return n, err
}

// end reports what is wrong with the file when its content has come to an end.
func (f *packed) end() error {
	var one [1]byte
	for {
		switch n, err := f.Read(one[:]); {
		case n > 0 && (f.err == nil || f.err == io.EOF):
			return errors.New("there is something behind the compressed NAR")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// why is the error that an error of the decompressor comes from.
func (f *packed) why(err error) error {
	if f.err != nil && f.err != io.EOF {
		return f.err
	}
	return err
}
