package binarycache

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// slow lists compressions that take longer to decompress than a temporary file takes to write and read.
var slow = map[string]bool{"xz": true, "bzip2": true, "br": true, "lzip": true}

// Spooler implements [profile.Spooler], for objects whose compression is slow to read.
func (s *Store) Spooler(p profile.Path) func(context.Context) {
	o, err := s.object(context.Background(), p)
	if err != nil || !slow[o.info.Compression] {
		return nil
	}
	return func(ctx context.Context) {
		if s.spool.reader(&o.region, o.info.NarSize) != nil {
			return
		}
		// A walk that opens no file spools the NAR. Another walk reports its errors.
		s.Files(ctx, p)(func(_ rootfs.Entry, err error) bool { return err == nil })
	}
}

// spooler keeps NARs in one unnamed file, each in a region of its own:
// a store has more objects than a process may have open files.
type spooler struct {
	dir string

	mu     sync.Mutex
	f      *os.File
	end    int64 // of the last region
	closed bool
}

// maxSpool limits the length of the file. It is sparse: a cancelled region may stay unwritten.
const maxSpool = 4 << 40

// region is an object's region in a spooler's file. The spooler's lock guards it.
type region struct {
	busy   bool // a walk is writing it
	whole  bool // complete and checked
	offset int64
}

// reader returns a reader of the spooled NAR, or nil.
func (s *spooler) reader(o *region, size int64) io.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.whole || s.closed {
		return nil
	}
	return io.NewSectionReader(s.f, o.offset, size)
}

// record starts to spool the NAR of an object.
// It returns nil, a recorder that keeps nothing, if another walk already spools it or no room is left.
func (s *spooler) record(o *region, size int64) *recorder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.busy || o.whole || s.closed || size > maxSpool-s.end {
		return nil
	}
	o.busy, o.offset = true, s.end
	s.end += size
	return &recorder{s: s, o: o, size: size, next: o.offset}
}

func (s *spooler) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}

// file returns the spool file, which it creates on the first call.
func (s *spooler) file() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if s.f == nil {
		f, err := staging.Spool(s.dir)
		if err != nil {
			return nil, err
		}
		s.f = f
	}
	return s.f, nil
}

// recorderBuffer is how much of a NAR is buffered before the first write:
// most walks that cancel spooling do so before that.
const recorderBuffer = 64 << 10

// recorder spools a NAR. A nil recorder keeps nothing.
type recorder struct {
	s       *spooler
	o       *region
	size    int64
	next    int64 // offset of the next write
	buf     []byte
	stopped bool
	err     error
}

func (t *recorder) running() bool { return t != nil && !t.stopped }

func (t *recorder) write(p []byte) {
	if !t.running() || t.err != nil {
		return
	}
	if len(t.buf)+len(p) > recorderBuffer {
		t.flush()
	}
	if len(p) > recorderBuffer {
		t.put(p)
		return
	}
	if t.buf == nil {
		t.buf = make([]byte, 0, recorderBuffer)
	}
	t.buf = append(t.buf, p...)
}

func (t *recorder) flush() {
	t.put(t.buf)
	t.buf = t.buf[:0]
}

func (t *recorder) put(p []byte) {
	if t.err != nil {
		return
	}
	f, err := t.s.file()
	if err == nil {
		_, err = f.WriteAt(p, t.next)
	}
	t.next += int64(len(p))
	t.err = err
}

// spoolError says that this machine cannot spool a NAR, which may be right.
type spoolError struct{ error }

func (e *spoolError) Is(target error) bool { return target == profile.ErrSpool }
func (e *spoolError) Unwrap() error        { return e.error }

// cancel discards the recording unless it is finished.
func (t *recorder) cancel() {
	if !t.running() {
		return
	}
	t.stopped, t.buf = true, nil
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.o.busy = false
	if t.s.end == t.o.offset+t.size {
		t.s.end = t.o.offset
	}
}

// finish makes the recording readable. The caller has checked all of it.
func (t *recorder) finish() error {
	if !t.running() {
		return nil
	}
	t.flush()
	t.stopped, t.buf = true, nil
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.o.busy = false
	if t.err != nil {
		return fmt.Errorf("spool NAR: %w", &spoolError{t.err})
	}
	t.o.whole = true
	return nil
}
