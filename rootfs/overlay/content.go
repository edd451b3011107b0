package overlay

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"sync"
)

var errChanged = errors.New("changed while it was read")

// checkedReader reads a file again and fails if its content has changed.
type checkedReader struct {
	r    io.ReadCloser
	hash hash.Hash
	left int64
	sum  [32]byte
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.left -= int64(n)
	if c.left < 0 || err == io.EOF && (c.left > 0 || !bytes.Equal(c.hash.Sum(nil), c.sum[:])) {
		return n, errChanged
	}
	return n, err
}

func (c *checkedReader) Close() error { return c.r.Close() }

// buffers saves an allocation for each small file.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copyContext copies r to w until EOF, and checks ctx between reads.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (total int64, err error) {
	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	for idle := 0; ; {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		n, err := r.Read(buf[:])
		total += int64(n)
		if _, err := w.Write(buf[:n]); err != nil {
			return total, err
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle > 100 {
				return total, io.ErrNoProgress
			}
		}
	}
}
