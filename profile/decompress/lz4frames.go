package decompress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lz4Frames passes lz4 frames on and follows where they begin and end,
// because package lz4 takes an end between two pieces of a frame for the end of the frame.
// With it, an end anywhere but behind a whole frame is io.ErrUnexpectedEOF.
//
// A frame (lz4_Frame_format.md, all numbers little-endian) is
//
//	u32(0x184d2204) FLG BD [u64 content size] HC
//	{ u32(size | 1<<31 if it is not compressed) block [u32 checksum] } u32(0) [u32 checksum]
//
// or u32(0x184d2a50…5f) u32(size), and as many bytes that nobody reads.
// Legacy frames have no end that could be checked, and no dictionary is known: both are refused.
type lz4Frames struct {
	r     io.Reader
	state lz4State
	field []byte // of the next number, as far as it was read
	skip  uint64 // bytes that come before it
	flags byte
	err   error
}

type lz4State int

const (
	lz4First      lz4State = iota // the magic number of the first frame
	lz4Magic                      // that of another one, or the end of all
	lz4Skippable                  // the size of what is skipped
	lz4Descriptor                 // FLG and BD
	lz4Block                      // the size of a block
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
		return 0, f.err // at once, or package lz4 finds something else to complain of
	}
	if f.err = err; err == io.EOF && !f.complete() {
		f.err = io.ErrUnexpectedEOF
	}
	return n, f.err
}

// complete says whether the frames may end here.
func (f *lz4Frames) complete() bool {
	return f.state == lz4Magic && f.skip == 0 && len(f.field) == 0
}

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

// next takes the number that the state waits for.
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
			return fmt.Errorf("number %#x where a frame begins", n)
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
