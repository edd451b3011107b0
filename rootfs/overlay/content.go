package overlay

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
)

var errChanged = errors.New("changed while it was read")

// checked reads a file again and makes sure that it is still the same.
type checked struct {
	r    io.ReadCloser
	hash hash.Hash
	left int64
	sum  [32]byte
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.left -= int64(n)
	if c.left < 0 || err == io.EOF && (c.left > 0 || !bytes.Equal(c.hash.Sum(nil), c.sum[:])) {
		return n, errChanged
	}
	return n, err
}

func (c *checked) Close() error { return c.r.Close() }

// copyStep is how much is copied before a cancelled context is noticed.
const copyStep = 1 << 20

func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	total := int64(0)
	for {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		n, err := io.CopyN(w, r, copyStep)
		if total += n; err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
