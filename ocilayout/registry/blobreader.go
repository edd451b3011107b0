package registry

import (
	"context"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobReader reads a blob. If the connection breaks, it reads the rest through another one.
type blobReader struct {
	ctx   context.Context // the context of open
	repo  *repository
	of    ispec.Descriptor
	what  string
	fetch func(context.Context) (io.ReadCloser, error) // opens the blob at offset n

	body   io.ReadCloser
	n      int64 // bytes read
	broken int   // failures since the last byte
	failed error // error of all further reads
}

// open opens the blob at the current offset.
func (b *blobReader) open() error {
	return b.repo.try(b.ctx, b.what, func(ctx context.Context) error {
		body, err := b.fetch(ctx)
		if err == nil {
			b.body = body
		}
		return err
	})
}

func (b *blobReader) Read(p []byte) (int, error) {
	for b.failed == nil {
		n, err := b.body.Read(p)
		b.n += int64(n)
		switch {
		case n > 0:
			b.broken = 0
			return n, nil // the next Read returns the error again
		case err == nil || err == io.EOF && b.n >= b.of.Size:
			return 0, err
		}
		b.failed = b.reopen(err)
	}
	return 0, b.failed
}

// reopen continues after a read error.
func (b *blobReader) reopen(err error) error {
	b.body.Close()
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	if b.broken++; b.broken == tries {
		return &Error{Do: b.what, Tries: b.broken, Err: err}
	}
	b.repo.client.explain("%s: broke off after %d bytes: %v; reading on", b.what, b.n, err)
	return b.open()
}

func (b *blobReader) Close() error { return b.body.Close() }
