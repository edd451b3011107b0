package nix32

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"strings"
	"testing"
)

// hashes holds hashes of "abc", as nix-hash --to-base32 prints them.
func hashes() map[string][]byte {
	h1, h256, h512 := sha1.Sum([]byte("abc")), sha256.Sum256([]byte("abc")), sha512.Sum512([]byte("abc"))
	return map[string][]byte{
		"":                                 nil,
		"kpcd173cq987hw957sx6m0868wv3x6d9": h1[:],
		"1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s":                                                    h256[:],
		"2gs8k559z4rlahfx0y688s49m2vvszylcikrfinm30ly9rak69236nkam5ydvly1ai7xac99vxfc4ii84hawjbk876blyk1jfhkbbyx": h512[:],
	}
}

func TestNix32(t *testing.T) {
	for s, b := range hashes() {
		if got := Encode(b); got != s {
			t.Errorf("Encode(%x) = %q; want %q", b, got, s)
		}
		if got, ok := Decode(s, len(b)); !ok || !bytes.Equal(got, b) {
			t.Errorf("Decode(%q, %d) = %x, %v; want %x, true", s, len(b), got, ok, b)
		}
		if got := EncodedLen(len(b)); got != len(s) {
			t.Errorf("EncodedLen(%d) = %d; want %d", len(b), got, len(s))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const s = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"
	for _, test := range []struct {
		s string
		n int
	}{
		{s, 31},
		{s, 33},
		{s[1:], 32},
		{s + "0", 32},
		{"", 1},
		{"e" + s[1:], 32},
		{strings.ToUpper(s), 32},
		{"2" + s[1:], 32}, // the highest digit does not fit into 256 bits
	} {
		if got, ok := Decode(test.s, test.n); ok {
			t.Errorf("Decode(%q, %d) = %x, true; want false", test.s, test.n, got)
		}
	}
}

// FuzzDecode checks that each text decodes to bytes that encode to it, or not at all.
func FuzzDecode(f *testing.F) {
	for s, b := range hashes() {
		f.Add(s, len(b))
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1<<10 {
			return
		}
		if b, ok := Decode(s, n); ok && Encode(b) != s {
			t.Errorf("Decode(%q, %d) = %x, which encodes to %q", s, n, b, Encode(b))
		}
	})
}
