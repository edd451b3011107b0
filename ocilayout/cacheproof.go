package ocilayout

import "fmt"

// maxChecked is how many bytes of a record may say which parts were hashed; there is room for them (see maxRecord).
const maxHashBits = 2 << 10

// unhashedError is why what nobody has hashed is of no use where it must have been.
func unhashedError(part string) error {
	return fmt.Errorf("%s was not hashed when the layer was made", part)
}

// hashed says which parts of a layer prove their keys when they are walked, a bit each.
// Others may prove them, too, or be trusted: it can't be told.
func hashedParts(l Layer) (bits []byte) {
	for i, p := range l.Parts {
		bits = setBit(bits, i, p.Unproven)
	}
	return bits
}

// proves says why a layer's tar cannot be used although its parts have the right keys:
// a part whose key is only a claim was not hashed when the tar was made.
func (r tarRecord) proves(l Layer) error {
	for i, p := range l.Parts {
		if p.Unproven && (i/8 >= len(r.Hashed) || r.Hashed[i/8]&(1<<(i%8)) == 0) {
			return unhashedError(p.Name)
		}
	}
	return nil
}

func setBit(bits []byte, i int, set bool) []byte {
	if !set || i/8 >= maxHashBits {
		return bits
	}
	for i/8 >= len(bits) {
		bits = append(bits, 0)
	}
	bits[i/8] |= 1 << (i % 8)
	return bits
}

func mergeBits(a, b []byte) []byte {
	if len(a) < len(b) {
		a, b = b, a
	}
	joined := append([]byte(nil), a...)
	for i := range b {
		joined[i] |= b[i]
	}
	return joined
}
