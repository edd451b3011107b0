package lzma

// model holds the probabilities that LZMA has learnt. Its arrays have sizes that spare bounds checks.
type model struct {
	isMatch [256]uint16 // by state<<4 | position
	isRep   [16]uint16  // by state, as those below
	isRep0  [16]uint16
	isRep1  [16]uint16
	isRep2  [16]uint16
	isLong  [256]uint16     // by state<<4 | position
	slot    [4][64]uint16   // trees of 6 bits, by length
	special [256]uint16     // reversed trees of the distances from 4 to 127
	align   [16]uint16      // the reversed tree of the lowest 4 bits of longer distances
	lengths [2]lengthModel  // of matches, and of matches with one of the last distances
	literal [16][768]uint16 // by the byte before and the position
}

// lengthModel holds the probabilities of a match's length.
type lengthModel struct {
	choice [2]uint16
	low    [128]uint16 // trees of 3 bits, by position
	mid    [128]uint16
	high   [256]uint16
}

// reset forgets all. Only the first literals trees of literals will be used.
func (m *model) reset(literals int) {
	for _, p := range [][]uint16{m.isMatch[:], m.isRep[:], m.isRep0[:], m.isRep1[:], m.isRep2[:], m.isLong[:], m.special[:], m.align[:]} {
		forget(p)
	}
	for i := range m.slot {
		forget(m.slot[i][:])
	}
	for i := range m.lengths {
		l := &m.lengths[i]
		for _, p := range [][]uint16{l.choice[:], l.low[:], l.mid[:], l.high[:]} {
			forget(p)
		}
	}
	for i := range m.literal[:literals] {
		forget(m.literal[i][:])
	}
}

func forget(p []uint16) {
	for i := range p {
		p[i] = probInit
	}
}
