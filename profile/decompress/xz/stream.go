package xz

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// stream is what the end of a stream must confirm.
type stream struct {
	flags   [2]byte
	check   hash.Hash // of a block's content; nil for none
	blocks  uint64
	records hash.Hash // of the blocks' sizes, as the index lists them
}

// The kinds of checks, by their number in the stream's flags.
var crc64Table = crc64.MakeTable(crc64.ECMA)

func newCheck(kind byte) (hash.Hash, error) {
	switch kind {
	case 0:
		return nil, nil
	case 1:
		return crc32.NewIEEE(), nil
	case 4:
		return crc64.New(crc64Table), nil
	case 10:
		return sha256.New(), nil
	}
	return nil, fmt.Errorf("check %d: %w", kind, errors.ErrUnsupported)
}

// checkSum returns the check as the file stores it: CRCs are little-endian.
func checkSum(h hash.Hash) []byte {
	sum := h.Sum(nil)
	if h.Size() < sha256.Size {
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	return sum
}

// read reads exactly len(b) bytes.
func (z *Reader) read(b []byte) error {
	_, err := io.ReadFull(z.r, b)
	return early(err)
}

// beginStream reads a stream's header: magic flags u32(CRC32).
func (z *Reader) beginStream() error {
	var b [12]byte
	if err := z.read(b[:]); err != nil {
		return err
	}
	flags := b[6:8]
	switch {
	case string(b[:6]) != Magic:
		return errors.New("not a stream of xz")
	case binary.LittleEndian.Uint32(b[8:]) != crc32.ChecksumIEEE(flags):
		return errors.New("the header of a stream is damaged")
	case flags[0] != 0 || flags[1] > 15:
		return fmt.Errorf("flags %#x of a stream: %w", flags, errors.ErrUnsupported)
	}
	check, err := newCheck(flags[1])
	z.stream = stream{flags: [2]byte(flags), check: check, records: sha256.New()}
	return err
}

// add counts a block for the index.
func (s *stream) add(b *block, packed, size uint64) {
	if s.records == nil {
		return // of a single block
	}
	s.blocks++
	record(s.records, uint64(len(b.header))+packed+b.checkSize(), size)
}

// record adds a block's record to a hash of records.
func record(h hash.Hash, unpadded, size uint64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], unpadded)
	binary.LittleEndian.PutUint64(b[8:], size)
	h.Write(b[:])
}

var errIndex = errors.New("the index of a stream is damaged")

// endStream reads the index after its first byte, which is 0, and the footer:
//
//	u8(0) number(records) { number(unpadded size) number(size) } padding u32(CRC32)
//	u32(CRC32) u32(size of the index / 4 - 1) flags "YZ"
func (z *Reader) endStream() error {
	crc := crc32.NewIEEE()
	crc.Write([]byte{0})
	length := uint64(1)
	number := func() (n uint64, err error) {
		return vli(func() (byte, error) {
			c, err := z.r.ReadByte()
			crc.Write([]byte{c})
			length++
			return c, early(err)
		})
	}
	count, err := number()
	if err != nil {
		return err
	}
	if count != z.stream.blocks {
		return errIndex
	}
	records := sha256.New()
	for range count {
		unpadded, err := number()
		if err != nil {
			return err
		}
		size, err := number()
		if err != nil {
			return err
		}
		record(records, unpadded, size)
	}
	if !bytes.Equal(records.Sum(nil), z.stream.records.Sum(nil)) {
		return errIndex
	}
	var b [4 + 4 + 12]byte
	padding := b[:-length&3]
	end := b[len(padding):][:4+12]
	if err := z.read(b[:len(padding)+len(end)]); err != nil {
		return err
	}
	crc.Write(padding)
	length += uint64(len(padding))
	footer := end[4:]
	switch {
	case !zero(padding), binary.LittleEndian.Uint32(end) != crc.Sum32():
		return errIndex
	case string(footer[10:]) != "YZ", binary.LittleEndian.Uint32(footer) != crc32.ChecksumIEEE(footer[4:10]),
		uint64(binary.LittleEndian.Uint32(footer[4:])) != length/4, [2]byte(footer[8:10]) != z.stream.flags:
		return errors.New("the footer of a stream is damaged")
	}
	return nil
}

// vli reads a number: 7 bits a byte, the lowest first, as short as possible, below 1<<63.
func vli(next func() (byte, error)) (n uint64, err error) {
	for bits := 0; bits < 63; bits += 7 {
		c, err := next()
		if err != nil {
			return 0, err
		}
		n |= uint64(c&0x7f) << bits
		if c < 0x80 {
			if c == 0 && bits > 0 {
				break
			}
			return n, nil
		}
	}
	return 0, errors.New("a number is too long")
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
