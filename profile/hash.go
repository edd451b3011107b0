package profile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash is the SHA-256 of a NAR. The zero value stands for an unknown hash.
type Hash [sha256.Size]byte

// nix32Alphabet lacks e, o, u and t.
const nix32Alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

const (
	hexLen    = sha256.Size * 2
	nix32Len  = (sha256.Size*8-1)/5 + 1
	base64Len = (sha256.Size + 2) / 3 * 4
)

// ParseHash parses a SHA-256 in any form that Nix accepts (libutil/hash.cc, parseAny):
// hexadecimal, nix32 or base 64, with or without the prefix "sha256:"; or base 64 with the prefix "sha256-".
func ParseHash(s string) (Hash, error) {
	fail := func(why string) (Hash, error) { return Hash{}, fmt.Errorf("hash %q: %s", s, why) }
	body, sri := s, false
	if algo, rest, ok := strings.Cut(s, ":"); ok {
		if algo != "sha256" {
			return fail("not a SHA-256")
		}
		body = rest
	} else if algo, rest, ok := strings.Cut(s, "-"); ok {
		if algo != "sha256" {
			return fail("not a SHA-256")
		}
		body, sri = rest, true
	}
	var h Hash
	switch {
	case len(body) == base64Len:
		b, err := base64.StdEncoding.Strict().DecodeString(body)
		if err != nil || len(b) != len(h) {
			return fail("not base 64")
		}
		copy(h[:], b)
	case sri:
		return fail("not base 64")
	case len(body) == hexLen:
		if _, err := hex.Decode(h[:], []byte(body)); err != nil {
			return fail("not hexadecimal")
		}
	case len(body) == nix32Len:
		if !decodeNix32(h[:], body) {
			return fail("not nix32")
		}
	default:
		return fail("wrong length")
	}
	return h, nil
}

// Known returns whether h is a hash, not the zero value.
func (h Hash) Known() bool { return h != Hash{} }

// String returns "sha256:<nix32>", as Nix prints it.
func (h Hash) String() string { return "sha256:" + encodeNix32(h[:]) }

// SRI returns "sha256-<base 64>", as in Nix's JSON.
func (h Hash) SRI() string { return "sha256-" + base64.StdEncoding.EncodeToString(h[:]) }

// Hex returns the hash in hexadecimal, as in image digests, without the algorithm.
func (h Hash) Hex() string { return hex.EncodeToString(h[:]) }

// encodeNix32 encodes b as one little-endian number with its highest digit first.
func encodeNix32(b []byte) string {
	n := (len(b)*8-1)/5 + 1
	out := make([]byte, n)
	for k := range n {
		bit := (n - 1 - k) * 5
		i, j := bit/8, bit%8
		c := b[i] >> j
		if i+1 < len(b) {
			c |= b[i+1] << (8 - j)
		}
		out[k] = nix32Alphabet[c&31]
	}
	return string(out)
}

// decodeNix32 fills b. It returns false if s does not encode exactly len(b) bytes.
func decodeNix32(b []byte, s string) bool {
	n := (len(b)*8-1)/5 + 1
	if len(s) != n {
		return false
	}
	for k := range n {
		digit := strings.IndexByte(nix32Alphabet, s[k])
		if digit < 0 {
			return false
		}
		bit := (n - 1 - k) * 5
		i, j := bit/8, bit%8
		b[i] |= byte(digit << j)
		if carry := byte(digit >> (8 - j)); i+1 < len(b) {
			b[i+1] |= carry
		} else if carry != 0 {
			return false
		}
	}
	return true
}
