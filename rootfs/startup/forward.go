package startup

import (
	"errors"
	"fmt"
	"io"
)

// forward reads at any place of a file that can only be read forwards, as long as that place is ahead,
// or among the first bytes, or was asked to be kept.
type forward struct {
	r    io.Reader
	pos  int64
	head []byte
	keep []span
}

// span is a piece of a file, and its bytes as far as they have been passed.
type span struct {
	offset int64
	size   int64
	bytes  []byte
}

// maxHead is how much of a file's beginning is kept while it is read. Nearly all names are there.
const maxHead = 4 << 20

// keptAround is how much more than what was asked for is kept in the next walk.
const keptAround = 64 << 10

// passedError is a place that has been passed, and has to be kept the next time.
type passedError struct{ offset, size int64 }

func (e *passedError) Error() string {
	return fmt.Sprintf("%d bytes at %d have been passed", e.size, e.offset)
}

// ReadAt implements io.ReaderAt. The error may be a passedError.
func (f *forward) ReadAt(p []byte, offset int64) (int, error) {
	end := offset + int64(len(p))
	if offset <= maxHead {
		if err := f.pass(min(end, maxHead)); err != nil {
			return 0, err
		}
	}
	if end <= int64(len(f.head)) {
		return copy(p, f.head[offset:]), nil
	}
	for i := range f.keep {
		s := &f.keep[i]
		if offset >= s.offset && end <= s.offset+s.size {
			if err := f.pass(end); err != nil {
				return 0, err
			}
			return copy(p, s.bytes[offset-s.offset:]), nil
		}
	}
	n := 0
	if offset < int64(len(f.head)) && int64(len(f.head)) == f.pos {
		n = copy(p, f.head[offset:])
		offset += int64(n)
	}
	if offset < f.pos {
		return 0, &passedError{offset, int64(len(p))}
	}
	if err := f.pass(offset); err != nil {
		return 0, err
	}
	m, err := io.ReadFull(f.r, p[n:])
	f.passed(p[n : n+m])
	return n + m, unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pass reads up to an offset.
func (f *forward) pass(to int64) error {
	buf := make([]byte, min(max(to-f.pos, 0), 64<<10))
	for f.pos < to {
		n, err := io.ReadFull(f.r, buf[:min(int64(len(buf)), to-f.pos)])
		f.passed(buf[:n])
		if err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// passed takes what was read at pos.
func (f *forward) passed(b []byte) {
	if room := maxHead - f.pos; f.pos == int64(len(f.head)) && room > 0 {
		f.head = append(f.head, b[:min(int64(len(b)), room)]...)
	}
	for i := range f.keep {
		s := &f.keep[i]
		from := s.offset + int64(len(s.bytes)) // that is missing
		if end := min(f.pos+int64(len(b)), s.offset+s.size); from >= f.pos && from < end {
			s.bytes = append(s.bytes, b[from-f.pos:end-f.pos]...)
		}
	}
	f.pos += int64(len(b))
}
