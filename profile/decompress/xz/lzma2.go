package xz

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/export-profile/export-profile/profile/decompress/lzma"
)

// lzma2 reads the chunks of a block:
//
//	u8(0)                                                               the end
//	u8(1 or 2) u16(size - 1) bytes                                      bytes as they are; 1 resets the dictionary
//	u8(0x80 | reset<<5 | high bits of size - 1) u16(low bits) u16(packed size - 1) [properties] packed bytes
//
// Numbers are big-endian. reset is 1 for the state, 2 if properties come, too, and 3 for the dictionary as well.
type lzma2 struct {
	lzma.Decoder
	read            uint64 // bytes of the block so far
	needsDictionary bool   // until the dictionary is reset
	needsProperties bool   // until properties come
}

// begin begins a block with a window of this size.
func (z *lzma2) begin(window int) {
	z.read, z.needsDictionary, z.needsProperties = 0, true, true
	z.SetWindow(window)
}

// chunk decodes a chunk into the dictionary, and returns it: it is valid until the next call. io.EOF is the end of the block.
func (z *lzma2) chunk(r *bufio.Reader) ([]byte, error) {
	var b [6]byte
	head := func(begin, end int) error {
		_, err := io.ReadFull(r, b[begin:end])
		z.read += uint64(end - begin)
		return early(err)
	}
	if err := head(0, 1); err != nil {
		return nil, err
	}
	control := b[0]
	switch {
	case control == 0:
		return nil, io.EOF
	case control > 2 && control < 0x80:
		return nil, fmt.Errorf("no chunk of LZMA2 begins with %#x", control)
	case control == 1 || control >= 0xe0:
		z.needsDictionary, z.needsProperties = false, true
		z.ForgetWindow()
	case z.needsDictionary:
		return nil, fmt.Errorf("the first chunk of LZMA2 begins with %#x", control)
	}
	if control < 0x80 {
		if err := head(1, 3); err != nil {
			return nil, err
		}
		piece, err := z.Plain(r, int(binary.BigEndian.Uint16(b[1:]))+1)
		z.read += uint64(len(piece))
		return piece, err
	}
	size := 5
	if control >= 0xc0 {
		size++
	}
	if err := head(1, size); err != nil {
		return nil, err
	}
	switch {
	case control >= 0xc0:
		z.needsProperties = false
		if !z.SetProperties(b[5]) {
			return nil, fmt.Errorf("properties %#x of LZMA2", b[5])
		}
		z.Reset()
	case z.needsProperties:
		return nil, fmt.Errorf("the first packed chunk of LZMA2 begins with %#x", control)
	case control >= 0xa0:
		z.Reset()
	}
	packed := int(binary.BigEndian.Uint16(b[3:])) + 1
	z.read += uint64(packed)
	return z.Chunk(r, packed, int(control&0x1f)<<16+int(binary.BigEndian.Uint16(b[1:]))+1)
}
