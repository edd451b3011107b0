package decompress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// frames passes frames of zstd or lz4 through, up to the end of the last one.
// An end within a frame is io.ErrUnexpectedEOF. Package lz4 alone accepts an end between two blocks.
//
// Each frame begins with a magic number. Both formats may have skippable frames:
// u32(0x184d2a50…5f) u32(size), and size bytes. All numbers are little-endian.
type frames struct {
	r        *bufio.Reader
	format   frameFormat
	trailing func() // see NewFileReader; nil if trailing data are an error

	started bool   // a frame was found
	want    int    // size of the next field, or 0 for the magic number of a frame
	skip    bool   // the next field is the size of a skippable frame
	pass    uint64 // bytes to pass through before the next field
	err     error
}

// frameFormat knows the fields of a frame.
type frameFormat interface {
	// magics lists the beginnings of frames.
	magics() []string
	// begin begins a frame, and returns the size of its first field.
	begin(magic string) (want int, err error)
	// next handles a field. It returns how many bytes follow it, and the size of the field after them, or 0 for the frame's end.
	next(field []byte) (pass uint64, want int, err error)
}

func newFrames(r io.Reader, format frameFormat, trailing func()) *frames {
	return &frames{r: bufio.NewReader(r), format: format, trailing: trailing}
}

func (f *frames) Read(p []byte) (int, error) {
	for f.pass == 0 && f.err == nil {
		f.err = f.step()
	}
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p[:min(uint64(len(p)), f.pass)])
	f.pass -= uint64(n)
	if f.err = err; err == io.EOF {
		f.err = io.ErrUnexpectedEOF
	}
	return n, f.err
}

// step handles the next field. It adds the field's own size to f.pass.
func (f *frames) step() error {
	size := f.want
	if size == 0 {
		size = magicSize
	}
	field, err := f.r.Peek(size)
	if err != nil && err != io.EOF {
		return err
	}
	if f.want == 0 {
		if more, err := f.begin(string(field)); err != nil || !more {
			return err
		}
	} else if len(field) < size {
		return io.ErrUnexpectedEOF
	} else if f.skip {
		f.skip, f.want, f.pass = false, 0, uint64(binary.LittleEndian.Uint32(field))
	} else if f.pass, f.want, err = f.format.next(field); err != nil {
		return err
	}
	f.pass += uint64(size)
	return nil
}

const magicSize = 4

// errCutMagic is not io.ErrUnexpectedEOF itself, which package zstd takes for the end between two frames.
var errCutMagic = fmt.Errorf("magic number: %w", io.ErrUnexpectedEOF)

// begin handles the beginning of a frame, or the end. It returns false if step must not go on.
func (f *frames) begin(magic string) (more bool, err error) {
	switch {
	case magic == "" && f.started:
		return false, io.EOF
	case len(magic) < magicSize && f.begins(magic):
		return false, errCutMagic
	case !f.begins(magic):
		if f.trailing == nil || !f.started {
			return false, fmt.Errorf("no frame begins with %#x", magic)
		}
		f.trailing()
		return false, io.EOF
	}
	f.started = true
	if isSkippable(magic) {
		f.skip, f.want = true, 4
		return true, nil
	}
	f.want, err = f.format.begin(magic)
	return err == nil, err
}

// begins reports whether a frame begins with s, which may be shorter than a magic number.
func (f *frames) begins(s string) bool {
	for _, m := range f.format.magics() {
		if strings.HasPrefix(m, s) {
			return true
		}
	}
	return s == ""
}

// skippableMagics lists the beginnings of skippable frames.
var skippableMagics = func() (all []string) {
	for c := range byte(16) {
		all = append(all, string([]byte{0x50 + c, 0x2a, 0x4d, 0x18}))
	}
	return all
}()

func isSkippable(head string) bool {
	return len(head) >= magicSize && slices.Contains(skippableMagics, head[:magicSize])
}

// lz4Format knows lz4 frames (lz4_Frame_format.md):
//
//	u32(0x184d2204) FLG BD [u64 content size] HC
//	{ u32(size | 1<<31 if it is not compressed) block [u32 checksum] } u32(0) [u32 checksum]
//
// It refuses legacy frames, as they have no end to check, and frames that need a dictionary.
type lz4Format struct {
	flags byte
	block bool // the next field is the size of a block
}

const lz4Magic, lz4Legacy = "\x04\x22\x4d\x18", "\x02\x21\x4c\x18"

// Bits of FLG.
const (
	lz4DictID          = 1 << 0
	lz4ContentChecksum = 1 << 2
	lz4ContentSize     = 1 << 3
	lz4BlockChecksum   = 1 << 4
)

func (f *lz4Format) magics() []string {
	return append([]string{lz4Magic, lz4Legacy}, skippableMagics...)
}

func (f *lz4Format) begin(magic string) (want int, err error) {
	if magic == lz4Legacy {
		return 0, fmt.Errorf("legacy frame: %w", errors.ErrUnsupported)
	}
	f.block = false
	return 2, nil
}

func (f *lz4Format) next(field []byte) (pass uint64, want int, err error) {
	if !f.block {
		f.block, f.flags = true, field[0]
		if f.flags&lz4DictID != 0 {
			return 0, 0, fmt.Errorf("frame with a dictionary: %w", errors.ErrUnsupported)
		}
		pass = 1 // HC
		if f.flags&lz4ContentSize != 0 {
			pass += 8
		}
		return pass, 4, nil
	}
	n := binary.LittleEndian.Uint32(field)
	if n == 0 {
		if f.flags&lz4ContentChecksum != 0 {
			pass = 4
		}
		return pass, 0, nil
	}
	pass = uint64(n &^ (1 << 31))
	if f.flags&lz4BlockChecksum != 0 {
		pass += 4
	}
	return pass, 4, nil
}

// zstdFormat knows zstd frames (RFC 8878, section 3.1.1):
//
//	u32(0xfd2fb528) descriptor [window] [dictionary ID] [content size] { u24(last | type<<1 | size<<3) block } [u32 checksum]
//
// It refuses frames of zstd before 0.8, which have other magic numbers.
type zstdFormat struct {
	checksum bool
	block    bool // the next field is the header of a block
}

const zstdMagic = "\x28\xb5\x2f\xfd"

func (f *zstdFormat) magics() []string {
	return slices.Concat([]string{zstdMagic}, zstdOld, skippableMagics)
}

// zstdOld lists the magic numbers of zstd 0.1 to 0.7.
var zstdOld = []string{"\xfd\x2f\xb5\x1e", "\x22\xb5\x2f\xfd", "\x23\xb5\x2f\xfd", "\x24\xb5\x2f\xfd", "\x25\xb5\x2f\xfd", "\x26\xb5\x2f\xfd", "\x27\xb5\x2f\xfd"}

func (f *zstdFormat) begin(magic string) (want int, err error) {
	if magic != zstdMagic {
		return 0, fmt.Errorf("frame of zstd before 0.8: %w", errors.ErrUnsupported)
	}
	f.block = false
	return 1, nil
}

func (f *zstdFormat) next(field []byte) (pass uint64, want int, err error) {
	const blockHeader = 3
	if !f.block {
		d := field[0]
		f.block, f.checksum = true, d&(1<<2) != 0
		single := d&(1<<5) != 0
		if !single {
			pass = 1 // window
		}
		pass += []uint64{0, 1, 2, 4}[d&3] // dictionary ID
		switch size := d >> 6; {
		case size > 0:
			pass += 1 << size
		case single:
			pass++
		}
		return pass, blockHeader, nil
	}
	header := uint64(field[0]) | uint64(field[1])<<8 | uint64(field[2])<<16
	pass, want = header>>3, blockHeader
	if header>>1&3 == 1 { // one byte, to be repeated
		pass = 1
	}
	if header&1 != 0 {
		want = 0
		if f.checksum {
			pass += 4
		}
	}
	return pass, want, nil
}
