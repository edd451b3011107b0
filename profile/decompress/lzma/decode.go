package lzma

import "encoding/binary"

// nextLiteral maps a state to the one after a literal.
var nextLiteral = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}

// after returns the state after a match: after one value if a literal came before, otherwise after the other.
func after(state, literal, match uint8) uint8 {
	if state < 7 {
		return literal
	}
	return match
}

// run decodes symbols to the dictionary, until it reaches stop or the input enough. No symbol may reach beyond limit.
// An error leaves the symbols before it. The marker is errMarker.
//
// Variables live in registers. Pieces are large, so that they are rarely saved.
// The input is not checked at each byte, since zeros or old bytes follow it, only at each symbol.
func (z *Decoder) run(r rangeDecoder, enough, stop, limit int) (rangeDecoder, error) {
	var err error
	in, m, dict := &z.in, &z.model, &z.dict
	buf, pos := dict.buf, dict.pos
	past, posMask, litMask, lc := uint(dict.past), uint(1)<<(z.pb&7)-1, uint(1)<<(z.lp&7)-1, z.lc&7
	state, last := z.state, dict.last()
	rep0, rep1, rep2, rep3 := z.reps[0], z.reps[1], z.reps[2], z.reps[3]
symbols:
	for pos < stop && r.next <= enough {
		position := uint(pos) + past
		at := state<<4 | uint8(position&posMask)
		r = r.fill(in)
		p := &m.isMatch[at]
		bound := r.bound(*p)
		if r.code < bound {
			r = r.low(bound, p)
			tree := &m.literal[(position&litMask<<lc|uint(last)>>(8-lc))&15]
			if state < 7 {
				r, last = r.literal(in, tree)
			} else {
				r, last = r.matchedLiteral(in, tree, buf[dict.from(pos, rep0)])
			}
			buf[pos] = last
			pos++
			state = nextLiteral[state&15]
			continue
		}
		r = r.high(bound, p)

		var length int
		r = r.fill(in)
		p = &m.isRep[state&15]
		if bound := r.bound(*p); r.code < bound {
			r = r.low(bound, p)
			rep3, rep2, rep1 = rep2, rep1, rep0
			r, length = r.length(in, &m.lengths[0], position&posMask)
			r, rep0 = r.distance(in, m, length)
			state = after(state, 7, 10)
		} else {
			r = r.high(bound, p)
			r = r.fill(in)
			p = &m.isRep0[state&15]
			if bound := r.bound(*p); r.code < bound {
				r = r.low(bound, p)
				r = r.fill(in)
				p = &m.isLong[at]
				bound := r.bound(*p)
				if r.code < bound {
					r = r.low(bound, p)
					if pos == 0 && dict.end == 0 {
						err = ErrDamaged
						break symbols
					}
					last = buf[dict.from(pos, rep0)]
					buf[pos] = last
					pos++
					state = after(state, 9, 11)
					continue
				}
				r = r.high(bound, p)
			} else {
				r = r.high(bound, p)
				r = r.fill(in)
				p = &m.isRep1[state&15]
				if bound := r.bound(*p); r.code < bound {
					r = r.low(bound, p)
					rep1, rep0 = rep0, rep1
				} else {
					r = r.high(bound, p)
					r = r.fill(in)
					p = &m.isRep2[state&15]
					if bound := r.bound(*p); r.code < bound {
						r = r.low(bound, p)
						rep2, rep1, rep0 = rep1, rep0, rep2
					} else {
						r = r.high(bound, p)
						rep3, rep2, rep1, rep0 = rep2, rep1, rep0, rep3
					}
				}
			}
			r, length = r.length(in, &m.lengths[1], position&posMask)
			state = after(state, 8, 11)
		}

		length += minMatch
		if length > limit-pos || uint64(rep0) >= uint64(dict.size) {
			if err = ErrDamaged; rep0 == marker {
				err, z.marker = errMarker, length
			}
			break symbols
		}
		distance := int(rep0) + 1
		from := pos - distance
		if from < 0 { // the match begins in the lap before
			if dict.end == 0 {
				err = ErrDamaged
				break symbols
			}
			copied := copy(buf[pos:pos+length], buf[from+dict.end:dict.end])
			pos += copied
			length -= copied
			from = 0
		}
		end := pos + length
		switch {
		case distance < 8: // the match repeats itself; the library's copy would not
			for ; pos < end; pos++ {
				buf[pos] = buf[pos-distance]
			}
		case length <= 32:
			for ; pos < end; pos += 8 {
				binary.LittleEndian.PutUint64(buf[pos:], binary.LittleEndian.Uint64(buf[from:]))
				from += 8
			}
			pos = end
		default:
			for pos < end { // as often as the match repeats itself
				pos += copy(buf[pos:end], buf[from:pos])
			}
		}
		last = buf[pos-1]
	}
	dict.pos, z.state, z.reps = pos, state, [4]uint32{rep0, rep1, rep2, rep3}
	return r, err
}
