package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// bufferSize is how much is read at once. Every string that is taken whole fits.
const bufferSize = 128 << 10

// Wire reads what NARs and export streams are made of: numbers and padded strings.
// An end where something is due is io.ErrUnexpectedEOF.
// It reads ahead, so what is behind it must be read through it, too.
type Wire struct {
	// Tee, if not nil, is given every byte that is consumed.
	// Its errors are not looked at: it is for a hash.
	Tee io.Writer

	src    io.Reader
	buf    []byte
	r, w   int // the bytes of buf that are read and not consumed
	offset int64
	err    error // of src, after what is in buf
}

// NewWire reads from src. Where src is an io.Seeker, what is skipped is not read.
func NewWire(src io.Reader) *Wire {
	return &Wire{src: src, buf: make([]byte, bufferSize)}
}

// Offset is how many bytes have been consumed.
func (w *Wire) Offset() int64 { return w.offset }

// Peek is the next n bytes, or what is left if that is less. They stay where they are.
func (w *Wire) Peek(n int) []byte {
	for w.w-w.r < n && w.err == nil {
		w.fill()
	}
	return w.buf[w.r:min(w.r+n, w.w)]
}

// Err is the error that reading ahead came upon, if it is not just the end.
func (w *Wire) Err() error {
	if w.err == io.EOF {
		return nil
	}
	return w.err
}

// Uint64 reads a number.
func (w *Wire) Uint64() (uint64, error) {
	b, err := w.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// String reads a string of at most limit bytes.
func (w *Wire) String(limit int) (string, error) {
	b, err := w.bytes(limit)
	return string(b), err
}

// Expect reads a string that must be the given one.
func (w *Wire) Expect(want string) error {
	got, err := w.bytes(maxTag)
	if err == nil && string(got) != want {
		err = fmt.Errorf("%.32q where %q is due", got, want)
	}
	return err
}

// bytes reads a string; the slice is valid until the next call.
func (w *Wire) bytes(limit int) ([]byte, error) {
	n, err := w.Uint64()
	if err != nil {
		return nil, err
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("string of %d bytes where at most %d are allowed", n, limit)
	}
	b, err := w.take(padded(int(n)))
	if err != nil {
		return nil, err
	}
	for _, c := range b[n:] {
		if c != 0 {
			return nil, errPadding
		}
	}
	return b[:n], nil
}

var errPadding = errors.New("padding that is not zero")

// padded is n rounded up to a multiple of 8.
func padded(n int) int { return (n + 7) &^ 7 }

// take consumes n bytes, which are no more than the buffer holds.
func (w *Wire) take(n int) ([]byte, error) {
	b := w.Peek(n)
	if len(b) < n {
		return nil, w.fail()
	}
	w.consume(n)
	return b, nil
}

// consume moves over n bytes of the buffer.
func (w *Wire) consume(n int) {
	if w.Tee != nil {
		_, _ = w.Tee.Write(w.buf[w.r : w.r+n])
	}
	w.r += n
	w.offset += int64(n)
}

// fail is the error where the input ends.
func (w *Wire) fail() error {
	if w.err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return w.err
}

func (w *Wire) fill() {
	if w.r > 0 {
		w.w = copy(w.buf, w.buf[w.r:w.w])
		w.r = 0
	}
	n, err := w.src.Read(w.buf[w.w:])
	w.w += n
	w.err = err
}

// Read consumes bytes without any structure. It is io.EOF where the input ends.
func (w *Wire) Read(p []byte) (int, error) {
	if w.r == w.w && len(p) >= len(w.buf) && w.err == nil {
		n, err := w.src.Read(p) // past the buffer
		w.err = err
		if w.Tee != nil {
			_, _ = w.Tee.Write(p[:n])
		}
		w.offset += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	if len(w.Peek(1)) == 0 {
		return 0, w.err
	}
	n := copy(p, w.buf[w.r:w.w])
	w.consume(n)
	return n, nil
}

// Skip consumes n bytes.
func (w *Wire) Skip(n int64) error {
	for n > 0 {
		if s, ok := w.src.(io.Seeker); ok && w.r == w.w && w.Tee == nil && n > bufferSize && w.err == nil {
			// The last byte is read, so that an end before it is noticed.
			if _, err := s.Seek(n-1, io.SeekCurrent); err != nil {
				return err
			}
			w.offset += n - 1
			n = 1
		}
		if len(w.Peek(1)) == 0 {
			return w.fail()
		}
		step := int(min(n, int64(w.w-w.r)))
		w.consume(step)
		n -= int64(step)
	}
	return nil
}

// size reads a number of bytes that follow.
func (w *Wire) size() (int64, error) {
	n, err := w.Uint64()
	if err == nil && n > math.MaxInt64-8 {
		err = fmt.Errorf("file of %d bytes", n)
	}
	return int64(n), err
}

// pad consumes what follows n bytes to a multiple of 8.
func (w *Wire) pad(n int64) error {
	b, err := w.take(int(-n & 7))
	for _, c := range b {
		if c != 0 {
			return errPadding
		}
	}
	return err
}
