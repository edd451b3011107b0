package startup

import (
	"errors"
	"fmt"
	"io"
)

// forwardReader implements io.ReaderAt on a stream. It can read ahead, among the first maxHead bytes,
// and within the spans that it was told to keep.
type forwardReader struct {
	r    io.Reader
	pos  int64
	head []byte
	keep []span
}

// span is a piece of a file, with its bytes as far as they have been read.
type span struct {
	offset int64
	size   int64
	bytes  []byte
}

// maxHead is the number of bytes kept from a file's beginning. Nearly all names are there.
const maxHead = 4 << 20

// keepMargin is how much more than the requested bytes the next walk keeps.
const keepMargin = 64 << 10

// backwardError reports a read behind the current position. The next walk must keep that span.
type backwardError struct{ offset, size int64 }

func (e *backwardError) Error() string {
	return fmt.Sprintf("%d bytes at %d were already passed", e.size, e.offset)
}

// ReadAt implements io.ReaderAt. The error may be a *backwardError.
func (f *forwardReader) ReadAt(p []byte, offset int64) (int, error) {
	end := offset + int64(len(p))
	if offset <= maxHead {
		if err := f.skipTo(min(end, maxHead)); err != nil {
			return 0, err
		}
	}
	if end <= int64(len(f.head)) {
		return copy(p, f.head[offset:]), nil
	}
	for i := range f.keep {
		s := &f.keep[i]
		if offset >= s.offset && end <= s.offset+s.size {
			if err := f.skipTo(end); err != nil {
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
		return 0, &backwardError{offset, int64(len(p))}
	}
	if err := f.skipTo(offset); err != nil {
		return 0, err
	}
	m, err := io.ReadFull(f.r, p[n:])
	f.consume(p[n : n+m])
	return n + m, unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skipTo reads the stream up to an offset.
func (f *forwardReader) skipTo(to int64) error {
	buf := make([]byte, min(max(to-f.pos, 0), 64<<10))
	for f.pos < to {
		n, err := io.ReadFull(f.r, buf[:min(int64(len(buf)), to-f.pos)])
		f.consume(buf[:n])
		if err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// consume records bytes that were read at pos, and advances pos.
func (f *forwardReader) consume(b []byte) {
	if room := maxHead - f.pos; f.pos == int64(len(f.head)) && room > 0 {
		f.head = append(f.head, b[:min(int64(len(b)), room)]...)
	}
	for i := range f.keep {
		s := &f.keep[i]
		from := s.offset + int64(len(s.bytes)) // first missing byte
		if end := min(f.pos+int64(len(b)), s.offset+s.size); from >= f.pos && from < end {
			s.bytes = append(s.bytes, b[from-f.pos:end-f.pos]...)
		}
	}
	f.pos += int64(len(b))
}
