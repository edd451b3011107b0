// Package decompress undoes what caches and pipes do to NARs, export streams and tars.
//
// A binary cache says by name how it compressed ([Named]);
// a file says it by its first bytes ([Sniff]), and never by its own name.
// Whatever is several streams, frames or members in one is read to its end.
//
// Memory is bounded by MaxWindow and a few megabytes:
// what needs a larger window is refused, as a [WindowError].
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// MaxWindow is how far back a stream may refer to its own output, in bytes.
// It is what `xz -9` and `zstd --long` need at most.
const MaxWindow = 128 << 20

// WindowError says that a stream would take too much memory.
type WindowError struct {
	Compression string
	Size        uint64 // of the window, or 0 where the stream does not say it at its beginning
}

func (e *WindowError) Error() string {
	s := fmt.Sprintf("%s: window larger than %d MiB", e.Compression, MaxWindow>>20)
	if e.Size > 0 {
		s += fmt.Sprintf(": %d bytes", e.Size)
	}
	return s
}

// magics are what compressed files begin with. Brotli has none.
var magics = []struct{ name, magic string }{
	{"gzip", "\x1f\x8b"},
	{"zstd", "\x28\xb5\x2f\xfd"},
	{"xz", "\xfd7zXZ\x00"},
	{"bzip2", "BZh"},
	{"lz4", "\x04\x22\x4d\x18"},
}

// SniffLen is how many bytes Sniff looks at.
const SniffLen = 6

// Sniff is the name of the compression that a file begins with, or "" if that is none it knows.
func Sniff(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.name
		}
	}
	return ""
}

// Named reads what was compressed in a way that a binary cache names.
// The empty name is bzip2, as it always was (libstore/nar-info.cc).
// A name that it does not know wraps errors.ErrUnsupported.
//
// Close frees what the decompressor holds; it does not close r.
// An end in the middle is io.ErrUnexpectedEOF.
func Named(name string, r io.Reader) (io.ReadCloser, error) {
	switch name {
	case "none":
		return io.NopCloser(r), nil
	case "", "bzip2":
		return reader("bzip2", bzip2.NewReader(bufio.NewReader(r)), nil), nil
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, wrap(name, err)
		}
		return reader(name, z, nil), nil
	case "xz":
		h := &headed{r: r}
		z, err := xz.NewReader(&lateEnd{r: h}, MaxWindow)
		d := reader(name, z, nil)
		d.window = func() uint64 { return xzWindow(h.head) }
		if err != nil {
			return nil, d.wrap(err)
		}
		return d, nil
	case "zstd":
		h := &headed{r: r}
		z, free, err := newZstd(h)
		if err != nil {
			return nil, wrap(name, err)
		}
		d := reader(name, z, free)
		d.window = h.window
		return d, nil
	case "br":
		return reader(name, brotli.NewReader(r), nil), nil
	case "lz4":
		return reader(name, lz4.NewReader(&lz4Frames{r: r}), nil), nil
	}
	return nil, fmt.Errorf("compression %q: %w", name, errors.ErrUnsupported)
}

// lateEnd never tells the end together with the last bytes:
// package xz would overlook the streams that begin in those.
type lateEnd struct {
	r     io.Reader
	ended bool
}

func (l *lateEnd) Read(p []byte) (int, error) {
	if l.ended {
		return 0, io.EOF
	}
	n, err := l.r.Read(p)
	if n > 0 && err == io.EOF {
		l.ended, err = true, nil
	}
	return n, err
}

// decompressor gives all libraries' errors one vocabulary.
type decompressor struct {
	io.Reader
	name   string
	free   func()
	window func() uint64 // what the stream says at its beginning; may be nil
}

func reader(name string, r io.Reader, free func()) *decompressor {
	return &decompressor{Reader: r, name: name, free: free}
}

func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = d.wrap(err)
	}
	return n, err
}

func (d *decompressor) wrap(err error) error {
	err = wrap(d.name, err)
	if w, ok := err.(*WindowError); ok && d.window != nil {
		if size := d.window(); size > MaxWindow { // else it is a later frame's
			w.Size = size
		}
	}
	return err
}

func (d *decompressor) Close() error {
	d.Reader = closed{} // another may have the decoder now
	if d.free != nil {
		d.free()
		d.free = nil
	}
	return nil
}

type closed struct{}

func (closed) Read([]byte) (int, error) { return 0, fs.ErrClosed }

func wrap(name string, err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, xz.ErrMemlimit):
		return &WindowError{Compression: name}
	case errors.Is(err, xz.ErrBuf), err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("decompress %s: %w", name, err)
}
