package xz

import (
	"encoding/binary"
	"math/bits"
)

// Encoders replace relative branches by absolute addresses (bcj: branch, call, jump), which repeat more often.
// The address in a branch is that of the instruction plus the relative one, in units of the instruction set.

// powerPC: bl with AA clear and LK set.
func powerPC(b []byte, address uint32) int {
	if v := binary.BigEndian.Uint32(b); v&0xfc000003 == 0x48000001 {
		binary.BigEndian.PutUint32(b, 0x48000001|(v-address)&0x03fffffc)
	}
	return 4
}

// arm: BL, always executed. The processor is 8 bytes ahead.
func arm(b []byte, address uint32) int {
	if v := binary.LittleEndian.Uint32(b); v>>24 == 0xeb {
		binary.LittleEndian.PutUint32(b, 0xeb<<24|(v-(address+8)>>2)&0xffffff)
	}
	return 4
}

// armThumb: BL in two halfwords of 11 bits each. The processor is 4 bytes ahead.
func armThumb(b []byte, address uint32) int {
	high, low := uint32(binary.LittleEndian.Uint16(b)), uint32(binary.LittleEndian.Uint16(b[2:]))
	if high&0xf800 != 0xf000 || low&0xf800 != 0xf800 {
		return 2
	}
	v := high&0x7ff<<11 | low&0x7ff
	v -= (address + 4) >> 1
	binary.LittleEndian.PutUint16(b, uint16(0xf000|v>>11&0x7ff))
	binary.LittleEndian.PutUint16(b[2:], uint16(0xf800|v&0x7ff))
	return 4
}

// arm64: BL, and ADRP in a range of ±512 MiB.
func arm64(b []byte, address uint32) int {
	v := binary.LittleEndian.Uint32(b)
	switch {
	case v>>26 == 0x25: // BL
		v = 0x25<<26 | (v-address>>2)&0x03ffffff
	case v&0x9f000000 == 0x90000000: // ADRP
		page := v>>29&3 | v>>3&0x1ffffc
		if (page+0x20000)&0x1c0000 != 0 {
			return 4
		}
		page -= address >> 12
		v = v&0x9000001f | page&3<<29 | page&0x3fffc<<3 | -(page&0x20000)&0xe00000
	}
	binary.LittleEndian.PutUint32(b, v)
	return 4
}

// sparc: call in a range of ±8 MiB words.
func sparc(b []byte, address uint32) int {
	v := binary.BigEndian.Uint32(b)
	if top := v >> 22; top == 0x100 || top == 0x1ff {
		v = v<<2 - address
		v >>= 2
		v = 0x40000000 | -(v>>22&1)<<22&0x3fffffff | v&0x3fffff
		binary.BigEndian.PutUint32(b, v)
	}
	return 4
}

// ia64: bundles of 16 bytes hold three slots of 41 bits behind 5 bits of template, which says what slots may be branches.
func ia64(b []byte, address uint32) int {
	branches := [32]uint8{16: 4, 17: 4, 18: 6, 19: 6, 22: 7, 23: 7, 24: 4, 25: 4, 28: 4, 29: 4}[b[0]&0x1f]
	for slot := range 3 {
		if branches>>slot&1 == 0 {
			continue
		}
		bit := 5 + 41*slot
		at := b[bit/8:][:6]
		var word [8]byte
		copy(word[:], at)
		v := binary.LittleEndian.Uint64(word[:])
		instruction := v >> (bit % 8)
		if instruction>>37&0xf != 5 || instruction>>9&7 != 0 {
			continue
		}
		target := uint32(instruction>>13&0xfffff | instruction>>36&1<<20)
		target = (target<<4 - address) >> 4
		instruction &^= 0x8fffff << 13
		instruction |= uint64(target&0xfffff)<<13 | uint64(target&0x100000)<<(36-20)
		low := uint64(1)<<(bit%8) - 1
		binary.LittleEndian.PutUint64(word[:], v&low|instruction<<(bit%8))
		copy(at, word[:6])
	}
	return 16
}

func (i *instructions) convert(b []byte) (n int) {
	for len(b)-n >= i.size {
		skip := i.one(b[n:n+i.size], i.address)
		n += skip
		i.address += uint32(skip)
	}
	return n
}

// x86 converts the operands of E8 (call) and E9 (jmp) whose highest byte is 0 or ff.
// It knows no instructions: another E8 or E9 up to three bytes before may be the real one, whose operand this byte belongs to.
type x86 struct {
	address uint32 // of the next byte
	before  uint8  // bit i is set if the byte i+1 before is E8 or E9 and was not converted
}

func (x *x86) convert(b []byte) (n int) {
	const size = 5
	isTop := func(c byte) bool { return c == 0 || c == 0xff }
	for len(b)-n >= size {
		if b[n]&0xfe != 0xe8 {
			x.before = x.before << 1 & 7
			n, x.address = n+1, x.address+1
			continue
		}
		// shared counts the bits of the operand that the byte before shares with another operand.
		shared, convert := 0, isTop(b[n+4])
		switch x.before {
		case 0:
		case 1, 2, 4:
			distance := bits.TrailingZeros8(x.before) + 1
			shared = 8 * distance
			convert = convert && !isTop(b[n+4-distance])
		default:
			convert = false
		}
		if !convert {
			x.before = x.before<<1&7 | 1
			n, x.address = n+1, x.address+1
			continue
		}
		v := binary.LittleEndian.Uint32(b[n+1:])
		for {
			v -= x.address + size
			if shared == 0 || !isTop(byte(v>>(24-shared))) {
				break
			}
			v ^= 1<<(32-shared) - 1
		}
		v &= 1<<25 - 1
		v |= -(v >> 24) << 24 // the sign
		binary.LittleEndian.PutUint32(b[n+1:], v)
		x.before = 0
		n, x.address = n+size, x.address+size
	}
	return n
}
