// Package codec encodes the facts of package rootfs:
// a number as a uvarint, a string as its length and its bytes.
package codec

import (
	"encoding/binary"
	"errors"
)

// AppendNumber appends n to b.
func AppendNumber(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

// AppendString appends s to b.
func AppendString(b []byte, s string) []byte {
	return append(AppendNumber(b, uint64(len(s))), s...)
}

// Reader reads numbers and strings. After malformed input it returns zero values, and Err says so.
type Reader struct {
	rest   []byte
	broken bool
}

// NewReader reads b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// More reports whether anything is left to read.
func (r *Reader) More() bool { return len(r.rest) > 0 }

var errMalformed = errors.New("malformed fact")

// Err returns an error if anything that was read is malformed.
func (r *Reader) Err() error {
	if r.broken {
		return errMalformed
	}
	return nil
}

func (r *Reader) fail() {
	r.rest, r.broken = nil, true
}

// Number reads a number.
func (r *Reader) Number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// String reads a string.
func (r *Reader) String() string {
	n := r.Number()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
