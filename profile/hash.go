package profile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile/nix32"
)

// Hash is the SHA-256 of a NAR. The zero value stands for an unknown hash.
type Hash [sha256.Size]byte

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
	case len(body) == base64.StdEncoding.EncodedLen(len(h)):
		b, err := base64.StdEncoding.Strict().DecodeString(body)
		if err != nil || len(b) != len(h) {
			return fail("not base 64")
		}
		copy(h[:], b)
	case sri:
		return fail("not base 64")
	case len(body) == hex.EncodedLen(len(h)):
		if _, err := hex.Decode(h[:], []byte(body)); err != nil {
			return fail("not hexadecimal")
		}
	case len(body) == nix32.EncodedLen(len(h)):
		b, ok := nix32.Decode(body, len(h))
		if !ok {
			return fail("not nix32")
		}
		copy(h[:], b)
	default:
		return fail("wrong length")
	}
	return h, nil
}

// Known returns whether h is a hash, not the zero value.
func (h Hash) Known() bool { return h != Hash{} }

// String returns "sha256:<nix32>", as Nix prints it.
func (h Hash) String() string { return "sha256:" + nix32.Encode(h[:]) }

// SRI returns "sha256-<base 64>", as in Nix's JSON.
func (h Hash) SRI() string { return "sha256-" + base64.StdEncoding.EncodeToString(h[:]) }

// Hex returns the hash in hexadecimal, as in image digests, without the algorithm.
func (h Hash) Hex() string { return hex.EncodeToString(h[:]) }
