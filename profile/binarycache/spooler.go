package binarycache

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/export-profile/export-profile/profile/spool"
)

// spooler keeps NARs in one file without a name, each in its own region:
// a store has more objects than a process may have files.
type spooler struct {
	dir string

	mu     sync.Mutex
	f      *os.File
	end    int64 // of the regions that are taken
	closed bool
}

// maxSpool is how long the file can be. It has holes: what is taken need not be written.
const maxSpool = 4 << 40

// spooled is an object's place in a spooler. It belongs to the spooler's lock.
type spooled struct {
	busy   bool // a walk writes it
	whole  bool
	offset int64
}

// reader is the NAR of an object, if it was kept.
func (s *spooler) reader(o *spooled, size int64) io.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.whole || s.closed {
		return nil
	}
	return io.NewSectionReader(s.f, o.offset, size)
}

// record begins to keep the NAR of an object.
// It is nil, which can be used as a tape that keeps nothing, if another walk does, or if there is no room.
func (s *spooler) record(o *spooled, size int64) *tape {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.busy || o.whole || s.closed || size > maxSpool-s.end {
		return nil
	}
	o.busy, o.offset = true, s.end
	s.end += size
	return &tape{s: s, o: o, size: size, next: o.offset}
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

// file is where to write, made when it is first needed.
func (s *spooler) file() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if s.f == nil {
		f, err := spool.New(s.dir)
		if err != nil {
			return nil, err
		}
		s.f = f
	}
	return s.f, nil
}

// tapeBuffer is how much of a NAR is collected before any is written:
// a walk that keeps nothing has mostly made up its mind by then.
const tapeBuffer = 64 << 10

// tape is a NAR that is being kept.
type tape struct {
	s       *spooler
	o       *spooled
	size    int64
	next    int64 // where to write
	buf     []byte
	stopped bool
	err     error
}

func (t *tape) running() bool { return t != nil && !t.stopped }

func (t *tape) write(p []byte) {
	if !t.running() || t.err != nil {
		return
	}
	if len(t.buf)+len(p) > tapeBuffer {
		t.flush()
	}
	if len(p) > tapeBuffer {
		t.put(p)
		return
	}
	if t.buf == nil {
		t.buf = make([]byte, 0, tapeBuffer)
	}
	t.buf = append(t.buf, p...)
}

func (t *tape) flush() {
	t.put(t.buf)
	t.buf = t.buf[:0]
}

func (t *tape) put(p []byte) {
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

// cancel forgets what was kept, unless it is finished.
func (t *tape) cancel() {
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

// finish makes what was kept readable. All of it has been checked.
func (t *tape) finish() error {
	if !t.running() {
		return nil
	}
	t.flush()
	t.stopped, t.buf = true, nil
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.o.busy = false
	if t.err != nil {
		return fmt.Errorf("keep NAR: %w", t.err)
	}
	t.o.whole = true
	return nil
}
