package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// NARError reports a NAR of a cache that cannot be used. It names the file.
type NARError struct {
	name string
	err  error
}

func (e *NARError) Error() string { return fmt.Sprintf("read %q: %v", e.name, e.err) }
func (e *NARError) Unwrap() error { return e.err }

// Damaged reports whether the file itself is at fault, and not its transfer.
func (e *NARError) Damaged() bool {
	var transfer *brokenError
	return !errors.As(e.err, &transfer)
}

// named adds a file name to err, unless it already has one.
func named(name string, err error) error {
	var known *NARError
	if errors.As(err, &known) {
		return err
	}
	return &NARError{name, err}
}

// narReader decompresses a NAR.
// Before it returns io.EOF, it checks that the compressed file ends, too.
type narReader struct {
	ctx   context.Context
	name  string
	file  *compressedFile
	z     io.ReadCloser
	from  io.Reader    // z, or ahead
	ahead *decodeAhead // nil for small NARs
	left  int64        // bytes of NarSize not yet read
	size  int64
	whole bool   // read to its end
	stop  func() // makes a read of file that waits for the network return; nil if only the caller's goroutine, or ahead's, reads it
}

// newNARReader decompresses a NAR from src. stop makes a read from src that waits for the network return.
func newNARReader(ctx context.Context, name string, n *NarInfo, src io.ReadCloser, s *Store, stop func()) (*narReader, error) {
	file := &compressedFile{ReadCloser: src, progress: s.progress, limit: maxCompressed(n.NarSize)}
	workers := s.workers
	if n.NarSize < minPieces || !slow[n.Compression] && workers.Count() <= fewWorkers {
		workers = nil
	}
	z, err := workers.NewReader(n.Compression, file)
	if err != nil {
		return nil, named(name, errors.Join(file.cause(err), src.Close()))
	}
	u := &narReader{ctx: ctx, name: name, file: file, z: z, from: z, left: n.NarSize, size: n.NarSize}
	if workers != nil {
		u.stop = stop
	}
	if n.NarSize >= minAhead && n.Compression != "none" {
		u.ahead = newDecodeAhead(z, stop)
		u.from = u.ahead
	}
	return u, nil
}

func (u *narReader) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	if int64(len(p)) > u.left+1 {
		p = p[:u.left+1]
	}
	n, err := u.from.Read(p)
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
		err = u.cause(err)
	}
	if err != nil {
		return n, named(u.name, err)
	}
	u.whole = true
	return n, io.EOF
}

// cause returns the read error behind an error of the decompressor, if there is one.
func (u *narReader) cause(err error) error {
	if cause := u.file.cause(err); u.stop == nil || errors.Is(err, cause) {
		return cause
	}
	return err // of another part of the file than the one that workers have begun to read
}

func (u *narReader) Close() error {
	if u.ahead != nil {
		u.ahead.Close()
	}
	if u.stop != nil && !u.whole { // otherwise the connection can be reused
		u.stop()
	}
	return errors.Join(u.z.Close(), u.file.Close())
}

// compressedFile reads the file that a narinfo names, up to a limit.
type compressedFile struct {
	io.ReadCloser
	progress func(int64)
	limit    int64
	n        int64

	mu  sync.Mutex // the goroutine that reads may be another one
	err error
}

// maxCompressed limits the length of a compressed NAR:
// no compression makes data much longer, but some accept endless input that decompresses to nothing.
func maxCompressed(narSize int64) int64 {
	if narSize > 1<<61 {
		return 1 << 62
	}
	return 2*narSize + 1<<20
}

func (f *compressedFile) Read(p []byte) (int, error) {
	if err := f.failed(); err != nil {
		return 0, err
	}
	n, err := f.ReadCloser.Read(p)
	f.n += int64(n)
	if n > 0 && f.progress != nil {
		f.progress(int64(n))
	}
	if f.n > f.limit {
		err = fmt.Errorf("more than %d bytes for a NAR of less than half that size", f.limit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	return n, err
}

func (f *compressedFile) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// end reads the file to its end after the decompressor is done, and reports errors in it.
func (f *compressedFile) end() error {
	var one [1]byte
	for {
		switch n, err := f.Read(one[:]); {
		case n > 0 && (err == nil || err == io.EOF):
			return errors.New("data after the end of the compressed NAR")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// cause returns the read error behind an error of the decompressor, if there is one.
func (f *compressedFile) cause(err error) error {
	if failed := f.failed(); failed != nil && failed != io.EOF {
		return failed
	}
	return err
}
