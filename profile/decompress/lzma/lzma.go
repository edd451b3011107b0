// Package lzma decodes LZMA, from which xz and lzip are made.
//
// A [Decoder] decodes the chunks of LZMA2, whose sizes are known before. A [Stream] decodes LZMA up to its end marker.
// The properties and the size of the window are in the headers of files, which others read.
//
// A Decoder holds 64 KiB of input and the window, which grows as output arrives to the size that it has been given, and 2 MiB.
package lzma

import (
	"errors"
	"fmt"
)

// ErrDamaged reports compressed data that no encoder writes.
var ErrDamaged = errors.New("the compressed data are damaged")

// WindowError reports that a window is larger than the reader of a format allows.
type WindowError struct{ Size uint64 }

func (e *WindowError) Error() string { return fmt.Sprintf("window of %d bytes", e.Size) }

// Limits of LZMA, and of the chunks of LZMA2.
const (
	maxPacked   = 1 << 16 // compressed bytes of a chunk
	maxUnpacked = 1 << 21 // bytes that a chunk becomes
	maxSymbol   = 32      // more than the bytes of the longest symbol, which is 20
	minMatch    = 2
	maxMatch    = 273
)

// Decoder decodes chunks. Everything but in lasts from chunk to chunk.
type Decoder struct {
	model
	lc, lp, pb uint      // how many bits of the last byte and of the position select a model
	state      uint8     // what the last symbols were; a state below 7 follows a literal
	reps       [4]uint32 // the last distances, less one

	dict   dictionary
	in     input
	marker int // the length of the last marker
}

// SetWindow sets how many bytes back a match may be. ForgetWindow must follow before anything is decoded.
func (z *Decoder) SetWindow(size int) { z.dict.size = size }

// ForgetWindow makes the next byte the first one.
func (z *Decoder) ForgetWindow() { z.dict.reset() }

// Memory returns how many bytes the window takes.
func (z *Decoder) Memory() int { return len(z.dict.buf) }

// SetProperties sets lc, lp and pb, and reports whether they are valid: lc + lp is at most 4, as in LZMA2. Reset must follow.
func (z *Decoder) SetProperties(b byte) bool {
	z.lc, z.lp, z.pb = uint(b)%9, uint(b)/9%5, uint(b)/45
	return z.pb <= 4 && z.lc+z.lp <= 4
}

// Reset forgets what the model has learnt.
func (z *Decoder) Reset() {
	z.model.reset(1 << (z.lc + z.lp))
	z.state, z.reps = 0, [4]uint32{}
}
