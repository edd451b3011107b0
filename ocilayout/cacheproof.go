package ocilayout

import "fmt"

// maxHashBytes bounds the bytes in a record that say which parts were hashed. They fit into maxRecord.
const maxHashBytes = 2 << 10

// unhashedError says that a layer is unusable because this part of it was never hashed.
func unhashedError(part string) error {
	return fmt.Errorf("%s was not hashed when the layer was made", part)
}

// hashedParts returns one bit per part: set if the part proves its key while it is walked.
// Other parts are trusted, or prove their keys in a way that is not visible here.
func hashedParts(l Layer) (bits []byte) {
	for i, p := range l.Parts {
		bits = setBit(bits, i, p.Unproven)
	}
	return bits
}

// proves returns an error if the tar cannot be used although the keys match:
// it holds a part whose key is a mere claim, and that was not hashed when the tar was made.
func (r tarRecord) proves(l Layer) error {
	for i, p := range l.Parts {
		if p.Unproven && (i/8 >= len(r.Hashed) || r.Hashed[i/8]&(1<<(i%8)) == 0) {
			return unhashedError(p.Name)
		}
	}
	return nil
}

func setBit(bits []byte, i int, set bool) []byte {
	if !set || i/8 >= maxHashBytes {
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
	merged := append([]byte(nil), a...)
	for i := range b {
		merged[i] |= b[i]
	}
	return merged
}
