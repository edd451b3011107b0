package profile

import (
	"crypto/sha256"
	"testing"
)

func TestParseHash(t *testing.T) {
	want := Hash(sha256.Sum256([]byte("abc")))
	const (
		hex    = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		nix32  = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s" // as Nix prints it
		base64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
	)
	for _, s := range []string{hex, nix32, base64, "sha256:" + hex, "sha256:" + nix32, "sha256:" + base64, "sha256-" + base64} {
		if got, err := ParseHash(s); err != nil || got != want {
			t.Errorf("ParseHash(%q) = %v, %v; want %v, <nil>", s, got, err, want)
		}
	}
	if got := want.String(); got != "sha256:"+nix32 {
		t.Errorf("String() = %q; want %q", got, "sha256:"+nix32)
	}
	if got := want.Hex(); got != hex {
		t.Errorf("Hex() = %q; want %q", got, hex)
	}
	for _, s := range []string{
		"", "sha256:", "sha1:" + hex, "sha512-" + base64, "sha256-" + hex, hex + "0", hex[1:],
		"g" + hex[1:], "e" + nix32[1:],
		"2" + nix32[1:], // the highest digit does not fit into 256 bits
		base64[:43] + "A", "sha256-" + base64[:42] + "1=",
	} {
		if got, err := ParseHash(s); err == nil {
			t.Errorf("ParseHash(%q) = %v, <nil>; want an error", s, got)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s")
	f.Add("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
	f.Add("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHash(s)
		if err != nil {
			return
		}
		for _, again := range []string{h.String(), h.Hex()} {
			if got, err := ParseHash(again); err != nil || got != h {
				t.Errorf("ParseHash(%q) = %v; ParseHash(%q) = %v, %v", s, h, again, got, err)
			}
		}
	})
}
