package decompress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lz4Frames passes lz4 frames through and checks that the input ends after a complete frame.
// Package lz4 does not: it accepts an end between two blocks of a frame.
// With lz4Frames, any other end is io.ErrUnexpectedEOF.
//
// A frame (lz4_Frame_format.md, all numbers little-endian) is
//
//	u32(0x184d2204) FLG BD [u64 content size] HC
//	{ u32(size | 1<<31 if it is not compressed) block [u32 checksum] } u32(0) [u32 checksum]
//
// or a skippable frame: u32(0x184d2a50…5f) u32(size), and size bytes.
// Legacy frames are refused, as they have no end to check, and so are frames that need a dictionary.
type lz4Frames struct {
	r     io.Reader
	state lz4State
	field []byte // the bytes of the next field, as far as read
	skip  uint64 // bytes before the next field
	flags byte
	err   error
}

type lz4State int

const (
	lz4First      lz4State = iota // magic number of the first frame
	lz4Magic                      // magic number of another frame, or the end
	lz4Skippable                  // size of a skippable frame
	lz4Descriptor                 // FLG and BD
	lz4Block                      // size of a block
)

// Bits of FLG.
const (
	lz4DictID          = 1 << 0
	lz4ContentChecksum = 1 << 2
	lz4ContentSize     = 1 << 3
	lz4BlockChecksum   = 1 << 4
)

func (f *lz4Frames) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p)
	if f.err = f.follow(p[:n]); f.err != nil {
		return 0, f.err // before package lz4 reports something else
	}
	if f.err = err; err == io.EOF && !f.complete() {
		f.err = io.ErrUnexpectedEOF
	}
	return n, f.err
}

// complete returns whether the input may end here.
func (f *lz4Frames) complete() bool {
	return f.state == lz4Magic && f.skip == 0 && len(f.field) == 0
}

// follow reads the fields in p and skips what is between them.
func (f *lz4Frames) follow(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(p)))
			f.skip -= n
			p = p[n:]
			continue
		}
		want := 4
		if f.state == lz4Descriptor {
			want = 2
		}
		n := min(want-len(f.field), len(p))
		f.field = append(f.field, p[:n]...)
		p = p[n:]
		if len(f.field) < want {
			return nil
		}
		if err := f.next(f.field); err != nil {
			return err
		}
		f.field = f.field[:0]
	}
	return nil
}

// next handles a complete field.
func (f *lz4Frames) next(b []byte) error {
	if f.state == lz4Descriptor {
		f.flags = b[0]
		if f.flags&lz4DictID != 0 {
			return fmt.Errorf("frame with a dictionary: %w", errors.ErrUnsupported)
		}
		f.skip = 1 // HC
		if f.flags&lz4ContentSize != 0 {
			f.skip += 8
		}
		f.state = lz4Block
		return nil
	}
	n := binary.LittleEndian.Uint32(b)
	switch f.state {
	case lz4First, lz4Magic:
		switch {
		case n == 0x184d2204:
			f.state = lz4Descriptor
		case n&^0xf == 0x184d2a50:
			f.state = lz4Skippable
		case n == 0x184c2102:
			return fmt.Errorf("legacy frame: %w", errors.ErrUnsupported)
		default:
			return fmt.Errorf("no frame begins with %#x", n)
		}
	case lz4Skippable:
		f.skip, f.state = uint64(n), lz4Magic
	case lz4Block:
		if n == 0 {
			if f.flags&lz4ContentChecksum != 0 {
				f.skip = 4
			}
			f.state = lz4Magic
			return nil
		}
		f.skip = uint64(n &^ (1 << 31))
		if f.flags&lz4BlockChecksum != 0 {
			f.skip += 4
		}
	}
	return nil
}
