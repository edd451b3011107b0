package lzma

import "encoding/binary"

// Probabilities have 11 bits. They adapt by 1/32 of the distance to the other end.
const (
	probBits = 11
	probInit = 1 << (probBits - 1)
	moveBits = 5
	// zeroMove makes one formula adapt a probability both ways:
	// p - (p+zeroMove)>>moveBits is p + (1<<probBits - p)>>moveBits.
	zeroMove = (1<<moveBits - 1 - 1<<probBits) & (1<<64 - 1)

	// minRange is where the range becomes too small for another bit, and takes the next byte.
	minRange = 1 << 24
)

// input holds a chunk of compressed bytes, with zeros behind it.
type input [maxPacked + 2*maxSymbol]byte

// rangeDecoder splits a number, the compressed data, into bits of known probability.
// It is a value, so that the compiler keeps it in registers. 64 bits spare the check for a borrow.
type rangeDecoder struct {
	size uint64 // of the range, at most 1<<32
	code uint64 // the position in the range
	next int    // index of the next byte
}

// rangeStart is how many bytes fill the position at first. The first one is 0.
const rangeStart = 5

// begin returns a range decoder that begins at in[i]. ok reports whether the first byte is right.
func (in *input) begin(i int) (_ rangeDecoder, ok bool) {
	return rangeDecoder{size: 1<<32 - 1, code: uint64(binary.BigEndian.Uint32(in[i+1:])), next: i + rangeStart}, in[i] == 0
}

// fill makes the range large enough for a bit.
func (r rangeDecoder) fill(in *input) rangeDecoder {
	if r.size < minRange {
		r.size, r.code = r.size<<8, r.code<<8|uint64(in[r.next])
		r.next++
	}
	return r
}

// bit decodes a bit. zero is all ones for 0, and 0 for 1: half of the bits cannot be foreseen,
// and a wrong guess of the processor costs more than this arithmetic.
func (r rangeDecoder) bit(p uint64) (_ rangeDecoder, zero uint64) {
	bound := r.size >> probBits * p
	r.code -= bound
	zero = uint64(int64(r.code) >> 63)
	r.code += bound & zero
	r.size -= bound
	r.size ^= (r.size ^ bound) & zero
	return r, zero
}

// adapted returns the probability after bit.
func adapted(p, zero uint64) uint16 { return uint16(p - uint64(int64(p+zeroMove&zero)>>moveBits)) }

// bound returns where the part of the range for 1 begins.
func (r rangeDecoder) bound(p uint16) uint64 { return r.size >> probBits * uint64(p) }

// low and high reduce the range to the part below or above bound, after a bit that a branch decides:
// most of these can be foreseen.
func (r rangeDecoder) low(bound uint64, p *uint16) rangeDecoder {
	*p += (1<<probBits - *p) >> moveBits
	r.size = bound
	return r
}

func (r rangeDecoder) high(bound uint64, p *uint16) rangeDecoder {
	*p -= *p >> moveBits
	r.size -= bound
	r.code -= bound
	return r
}

// literal decodes a byte with a tree of 8 bits.
func (r rangeDecoder) literal(in *input, tree *[768]uint16) (rangeDecoder, uint8) {
	sym := uint64(1)
	for sym < 0x100 {
		r = r.fill(in)
		p := uint64(tree[sym])
		var zero uint64
		r, zero = r.bit(p)
		tree[sym] = adapted(p, zero)
		sym = sym<<1 + 1 + zero
	}
	return r, uint8(sym)
}

// matchedLiteral decodes the byte after a match. It differs from the byte that would continue the match:
// the tree has a part for either bit of that byte, up to the first difference, and a part for the rest.
func (r rangeDecoder) matchedLiteral(in *input, tree *[768]uint16, match uint8) (rangeDecoder, uint8) {
	sym, part, m := uint64(1), uint64(0x100), uint64(match)
	for sym < 0x100 {
		m <<= 1
		bit := m & part
		i := part + bit + sym
		r = r.fill(in)
		p := uint64(tree[i])
		var zero uint64
		r, zero = r.bit(p)
		tree[i] = adapted(p, zero)
		sym = sym<<1 + 1 + zero
		part &= bit ^ zero
	}
	return r, uint8(sym)
}

// length decodes the length of a match, less minMatch.
func (r rangeDecoder) length(in *input, m *lengthModel, position uint) (rangeDecoder, int) {
	r = r.fill(in)
	p := uint64(m.choice[0])
	r, zero := r.bit(p)
	m.choice[0] = adapted(p, zero)
	tree, base := &m.low, -8
	if zero == 0 { // 1
		r = r.fill(in)
		p := uint64(m.choice[1])
		r, zero = r.bit(p)
		m.choice[1] = adapted(p, zero)
		tree, base = &m.mid, 0
		if zero == 0 {
			sym := uint64(1)
			for sym < 0x100 {
				r = r.fill(in)
				p := uint64(m.high[sym])
				r, zero = r.bit(p)
				m.high[sym] = adapted(p, zero)
				sym = sym<<1 + 1 + zero
			}
			return r, int(sym) - 256 + 16
		}
	}
	sym := uint64(1)
	for range 3 {
		i := uint8(position<<3) + uint8(sym)
		r = r.fill(in)
		p := uint64(tree[i&127])
		r, zero = r.bit(p)
		tree[i&127] = adapted(p, zero)
		sym = sym<<1 + 1 + zero
	}
	return r, base + int(sym)
}

// distance decodes the distance of a match of this length, less one.
func (r rangeDecoder) distance(in *input, m *model, length int) (rangeDecoder, uint32) {
	tree := &m.slot[min(uint(length), 3)]
	sym := uint64(1)
	var zero uint64
	for sym < 64 {
		r = r.fill(in)
		p := uint64(tree[sym])
		r, zero = r.bit(p)
		tree[sym] = adapted(p, zero)
		sym = sym<<1 + 1 + zero
	}
	slot := sym - 64
	if slot < 4 {
		return r, uint32(slot)
	}
	bits := slot>>1 - 1
	distance := (2 | slot&1) << (bits & 31)
	sym = 1
	if slot < 14 {
		base := distance - slot
		for bit := uint64(1); bit < 1<<(bits&31); bit <<= 1 {
			i := uint8(base + sym)
			r = r.fill(in)
			p := uint64(m.special[i])
			r, zero = r.bit(p)
			m.special[i] = adapted(p, zero)
			sym = sym<<1 + 1 + zero
			distance += bit &^ zero
		}
		return r, uint32(distance)
	}
	direct := uint64(0)
	for range bits - 4 {
		r = r.fill(in)
		r.size >>= 1
		r.code -= r.size
		zero = uint64(int64(r.code) >> 63)
		r.code += r.size & zero
		direct = direct<<1 + 1 + zero
	}
	distance += direct << 4
	for bit := uint64(1); bit < 16; bit <<= 1 {
		r = r.fill(in)
		p := uint64(m.align[sym&15])
		r, zero = r.bit(p)
		m.align[sym&15] = adapted(p, zero)
		sym = sym<<1 + 1 + zero
		distance += bit &^ zero
	}
	return r, uint32(distance)
}
