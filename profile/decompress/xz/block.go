package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"math"

	"github.com/export-profile/export-profile/profile/decompress/lzma"
)

// block is a block that is being read.
type block struct {
	header   []byte
	packed   uint64 // declared sizes, or unknown
	size     uint64
	window   uint64
	unpacked uint64 // bytes of output so far
	filters  []*filter
	check    hash.Hash
}

const unknown = math.MaxUint64

var errSizes = errors.New("a block has another size than its header says")

const lzma2ID = 0x21

// beginBlock reads a block's header. If it finds the index, it reads the end of the stream and returns false.
//
//	u8(size/4 - 1) flags [number(packed size)] [number(size)] { filter } padding u32(CRC32)
func (z *Reader) beginBlock() (more bool, err error) {
	var b [1024]byte
	if err := z.read(b[:1]); err != nil {
		return false, err
	}
	if b[0] == 0 {
		return false, z.endStream()
	}
	header := b[:(int(b[0])+1)*4]
	if err := z.read(header[1:]); err != nil {
		return false, err
	}
	rest := header[:len(header)-4]
	if crc32.ChecksumIEEE(rest) != binary.LittleEndian.Uint32(header[len(rest):]) {
		return false, errors.New("the header of a block is damaged")
	}
	flags := rest[1]
	if flags&0x3c != 0 {
		return false, fmt.Errorf("flags %#x of a block: %w", flags, errors.ErrUnsupported)
	}
	z.block = block{header: bytes.Clone(header), packed: unknown, size: unknown, check: z.stream.check}
	f := fields{rest[2:]}
	if flags&0x40 != 0 {
		if z.block.packed, err = f.number(); err == nil && z.block.packed == 0 {
			err = errSizes
		}
	}
	if flags&0x80 != 0 && err == nil {
		z.block.size, err = f.number()
	}
	for last := flags & 3; err == nil && last > 0; last-- {
		err = z.block.filter(&f)
	}
	if err == nil {
		err = z.window(&f)
	}
	if err != nil {
		return false, err
	}
	if !zero(f.b) {
		return false, fmt.Errorf("fields of a block's header: %w", errors.ErrUnsupported)
	}
	if z.block.check != nil {
		z.block.check.Reset()
	}
	return true, nil
}

// filter adds a filter of the header.
func (b *block) filter(f *fields) error {
	id, properties, err := f.filter()
	if err != nil {
		return err
	}
	added, err := newFilter(id, properties)
	if err == nil {
		b.filters = append(b.filters, added)
	}
	return err
}

// window reads the last filter, which must be LZMA2. Its property is the size of the window.
func (z *Reader) window(f *fields) error {
	id, properties, err := f.filter()
	if err != nil {
		return err
	}
	if id != lzma2ID || len(properties) != 1 || properties[0] > 40 {
		return fmt.Errorf("last %w", unsupportedFilter(id, properties))
	}
	bits := properties[0]
	size := uint64(2|bits&1) << (bits/2 + 11)
	if bits == 40 {
		size = 1<<32 - 1
	}
	if size > z.options.Window {
		return &lzma.WindowError{Size: size}
	}
	z.block.window = size
	z.lzma.begin(int(size))
	return nil
}

// fields reads the fields of a header.
type fields struct{ b []byte }

var errShortHeader = errors.New("the header of a block is too short for its fields")

func (f *fields) number() (uint64, error) {
	return vli(func() (byte, error) {
		if len(f.b) == 0 {
			return 0, errShortHeader
		}
		c := f.b[0]
		f.b = f.b[1:]
		return c, nil
	})
}

// filter reads number(ID) number(size) properties.
func (f *fields) filter() (id uint64, properties []byte, err error) {
	if id, err = f.number(); err != nil {
		return 0, nil, err
	}
	size, err := f.number()
	if err == nil && size > uint64(len(f.b)) {
		err = errShortHeader
	}
	if err != nil {
		return 0, nil, err
	}
	properties, f.b = f.b[:size], f.b[size:]
	return id, properties, nil
}

// take passes a piece of LZMA2's output through the filters. packed is how many bytes of the block have been read.
func (b *block) take(piece []byte, packed uint64) ([]byte, error) {
	b.unpacked += uint64(len(piece))
	if b.unpacked > b.size || packed > b.packed {
		return nil, errSizes
	}
	return b.filtered(piece, false), nil
}

// filtered passes a piece through the filters, from the last to the first, and to the check.
func (b *block) filtered(piece []byte, last bool) []byte {
	for i := len(b.filters) - 1; i >= 0; i-- {
		piece = b.filters[i].pass(piece, last)
	}
	if b.check != nil {
		b.check.Write(piece)
	}
	return piece
}

// endBlock reads what follows the chunks: padding and the check. It returns what the filters held back.
func (z *Reader) endBlock() ([]byte, error) {
	b, packed := &z.block, z.lzma.read
	if b.size != unknown && b.unpacked != b.size || b.packed != unknown && packed != b.packed {
		return nil, errSizes
	}
	piece := b.filtered(nil, true)
	var want []byte
	if b.check != nil {
		want = checkSum(b.check)
	}
	var end [3 + 64]byte
	padding := int(-packed & 3)
	got := end[padding:][:len(want)]
	if err := z.read(end[:padding+len(want)]); err != nil {
		return nil, err
	}
	if !zero(end[:padding]) {
		return nil, errors.New("the padding of a block is not zero")
	}
	if !bytes.Equal(got, want) {
		return nil, errors.New("the content of a block differs from its check")
	}
	z.stream.add(b, packed, b.unpacked)
	return piece, nil
}
