package nar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// bufferSize is the size of reads. It exceeds every limit given to String.
const bufferSize = 128 << 10

// Wire reads the numbers and padded strings of NARs and export streams.
// An early end is io.ErrUnexpectedEOF.
// Wire reads ahead, so the caller must read the rest of the input through it, too.
type Wire struct {
	// Tee, if not nil, gets every consumed byte. It is meant for a hash: Wire ignores its errors.
	Tee io.Writer

	src    io.Reader
	buf    []byte
	r, w   int // buf[r:w] is read but not consumed
	offset int64
	err    error // of src, due once buf is consumed
}

// NewWire returns a Wire that reads from src. If src is an io.Seeker, Skip seeks.
func NewWire(src io.Reader) *Wire {
	return &Wire{src: src, buf: make([]byte, bufferSize)}
}

// Offset returns the number of consumed bytes.
func (w *Wire) Offset() int64 { return w.offset }

// Peek returns the next n bytes, or fewer at the end, without consuming them.
func (w *Wire) Peek(n int) []byte {
	for w.w-w.r < n && w.err == nil {
		w.fill()
	}
	return w.buf[w.r:min(w.r+n, w.w)]
}

// Err returns the error that reading ahead has met, except io.EOF.
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

// Expect reads a string and fails if it is not want.
func (w *Wire) Expect(want string) error {
	got, err := w.bytes(maxTag)
	if err == nil && string(got) != want {
		err = fmt.Errorf("found %.32q, want %q", got, want)
	}
	return err
}

// bytes reads a string. The slice is valid until the next call.
func (w *Wire) bytes(limit int) ([]byte, error) {
	n, err := w.Uint64()
	if err != nil {
		return nil, err
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("string of %d bytes; at most %d are allowed", n, limit)
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

var errPadding = errors.New("padding is not zero")

// padded rounds n up to a multiple of 8.
func padded(n int) int { return (n + 7) &^ 7 }

// take consumes n bytes, at most bufferSize.
func (w *Wire) take(n int) ([]byte, error) {
	b := w.Peek(n)
	if len(b) < n {
		return nil, w.endError()
	}
	w.consume(n)
	return b, nil
}

// consume drops n bytes from the buffer.
func (w *Wire) consume(n int) {
	if w.Tee != nil {
		_, _ = w.Tee.Write(w.buf[w.r : w.r+n])
	}
	w.r += n
	w.offset += int64(n)
}

// endError returns the error for an input that ends too early.
func (w *Wire) endError() error {
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

// Read implements io.Reader.
func (w *Wire) Read(p []byte) (int, error) {
	if w.r == w.w && len(p) >= len(w.buf) && w.err == nil {
		n, err := w.src.Read(p) // without the buffer
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
			// Read the last byte, to notice an earlier end.
			if _, err := s.Seek(n-1, io.SeekCurrent); err != nil {
				return err
			}
			w.offset += n - 1
			n = 1
		}
		if len(w.Peek(1)) == 0 {
			return w.endError()
		}
		step := int(min(n, int64(w.w-w.r)))
		w.consume(step)
		n -= int64(step)
	}
	return nil
}

// size reads the size of a file.
func (w *Wire) size() (int64, error) {
	n, err := w.Uint64()
	if err == nil && n > math.MaxInt64-8 {
		err = fmt.Errorf("file of %d bytes", n)
	}
	return int64(n), err
}

// pad consumes the padding after n bytes.
func (w *Wire) pad(n int64) error {
	b, err := w.take(int(-n & 7))
	for _, c := range b {
		if c != 0 {
			return errPadding
		}
	}
	return err
}
