package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const xzMagic = "\xfd7zXZ\x00"

// xzStreams passes the streams of an xz file through, up to the end of the last one, without the padding between them.
type xzStreams struct {
	*frames
	trailing func()
	between  bool // frames stopped at something else than a stream
}

func newXZStreams(r io.Reader, trailing func()) *xzStreams {
	x := &xzStreams{trailing: trailing}
	x.frames = newFrames(r, new(xzFormat), func() { x.between = true })
	return x
}

func (x *xzStreams) Read(p []byte) (int, error) {
	n, err := x.frames.Read(p)
	for x.between {
		x.between, x.err = false, x.another()
		n, err = x.frames.Read(p)
	}
	return n, err
}

// another finds another stream behind padding. At the end of the file, or before something else, it returns io.EOF.
func (x *xzStreams) another() error {
	zeros := 0
	for {
		head, err := x.r.Peek(magicSize)
		if n := len(head) - len(bytes.TrimLeft(head, "\x00")); n > 0 {
			zeros += n
			_, _ = x.r.Discard(n)
			continue
		}
		switch {
		case err != nil && err != io.EOF:
			return err
		case len(head) == 0 && zeros%4 == 0:
			return io.EOF
		case len(head) == 0, !x.begins(string(head)):
			x.trailing()
			return io.EOF
		case zeros%4 != 0:
			return fmt.Errorf("another stream follows %d zeros, not a multiple of four", zeros)
		}
		return nil
	}
}

// xzFormat knows the streams of xz (xz-file-format.txt), whose numbers are big-endian in LZMA2:
//
//	magic flags u32(CRC32)
//	{ u8(size/4 - 1) header { u8(control) sizes chunk } u8(0) padding check }
//	u8(0) number(records) { number number } padding u32(CRC32)
//	u32(CRC32) u32(size of the index) flags "YZ"
//
// The end cannot be found by the footer alone: an xz file that contains another one may contain it as it is.
type xzFormat struct {
	state  xzState
	check  uint64 // size of the check after a block
	size   uint64 // of the chunks of this block, or of the index, so far
	number uint64 // the bits of the current number in the index
	bits   int
	left   uint64 // numbers that follow in the index
}

type xzState int

const (
	xzHeader    xzState = iota // the stream's header after its first four bytes
	xzPart                     // first byte of a block or of the index
	xzControl                  // first byte of an LZMA2 chunk
	xzPlain                    // size of an uncompressed chunk
	xzPacked                   // sizes of a compressed chunk
	xzPackedNew                // the same, and a byte of properties follows
	xzRecords                  // a byte of the number of records
	xzRecord                   // a byte of a number in a record
)

func (f *xzFormat) magics() []string { return []string{xzMagic[:magicSize]} }

func (f *xzFormat) begin(string) (want int, err error) {
	f.state = xzHeader
	return 8, nil
}

func (f *xzFormat) next(field []byte) (pass uint64, want int, err error) {
	switch f.state {
	case xzHeader:
		if !strings.HasSuffix(xzMagic, string(field[:2])) {
			return 0, 0, errors.New("the header of a stream is damaged")
		}
		f.state = xzPart
		f.check = []uint64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[field[3]&15]
		return 0, 1, nil
	case xzPart:
		if field[0] == 0 {
			f.state, f.size, f.number, f.bits = xzRecords, 1, 0, 0
			return 0, 1, nil
		}
		f.state, f.size = xzControl, 0
		return uint64(field[0])*4 + 3, 1, nil
	case xzControl:
		return f.chunk(field[0])
	case xzPlain, xzPacked, xzPackedNew:
		pass = uint64(binary.BigEndian.Uint16(field[len(field)-2:])) + 1
		if f.state == xzPackedNew {
			pass++
		}
		f.state = xzControl
		f.size += uint64(len(field)) + pass
		return pass, 1, nil
	}
	return f.index(field[0])
}

// chunk handles the first byte of an LZMA2 chunk.
func (f *xzFormat) chunk(control byte) (pass uint64, want int, err error) {
	f.size++
	switch {
	case control == 0:
		f.state = xzPart
		return -f.size&3 + f.check, 1, nil
	case control <= 2:
		f.state = xzPlain
		return 0, 2, nil
	case control >= 0xc0:
		f.state = xzPackedNew
		return 0, 4, nil
	case control >= 0x80:
		f.state = xzPacked
		return 0, 4, nil
	}
	return 0, 0, fmt.Errorf("no chunk of LZMA2 begins with %#x", control)
}

// index handles a byte of a number in the index.
func (f *xzFormat) index(b byte) (pass uint64, want int, err error) {
	if f.bits == 63 {
		return 0, 0, errors.New("a number in the index is too large")
	}
	f.size++
	f.number |= uint64(b&0x7f) << f.bits
	f.bits += 7
	if b >= 0x80 {
		return 0, 1, nil
	}
	if f.state == xzRecords {
		f.state, f.left = xzRecord, 2*f.number
	} else {
		f.left--
	}
	f.number, f.bits = 0, 0
	if f.left > 0 {
		return 0, 1, nil
	}
	const crc, footer = 4, 12
	return -f.size&3 + crc + footer, 0, nil
}
