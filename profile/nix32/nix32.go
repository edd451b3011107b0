// Package nix32 encodes and decodes Nix's base 32, in which store paths and Nix's own output write hashes.
//
// A hash is one little-endian number, with its highest digit first and without padding (Nix, libutil/hash.cc).
package nix32

import "strings"

// Alphabet lists the digits. It lacks e, o, u and t.
const Alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

// EncodedLen returns the number of digits that encode n bytes.
func EncodedLen(n int) int { return (n*8 + 4) / 5 }

// Encode returns the digits of b.
func Encode(b []byte) string {
	n := EncodedLen(len(b))
	out := make([]byte, n)
	for k := range n {
		bit := (n - 1 - k) * 5
		i, j := bit/8, bit%8
		c := b[i] >> j
		if i+1 < len(b) {
			c |= b[i+1] << (8 - j)
		}
		out[k] = Alphabet[c&31]
	}
	return string(out)
}

// Decode returns the n bytes that s encodes. It returns false if s does not encode exactly n bytes.
func Decode(s string, n int) ([]byte, bool) {
	if len(s) != EncodedLen(n) {
		return nil, false
	}
	b := make([]byte, n)
	for k := range len(s) {
		digit := strings.IndexByte(Alphabet, s[k])
		if digit < 0 {
			return nil, false
		}
		bit := (len(s) - 1 - k) * 5
		i, j := bit/8, bit%8
		b[i] |= byte(digit << j)
		if carry := byte(digit >> (8 - j)); i+1 < n {
			b[i+1] |= carry
		} else if carry != 0 {
			return nil, false
		}
	}
	return b, true
}
