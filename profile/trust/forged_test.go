package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// TestReplayedSignature checks that the signature of one object vouches for no other one,
// nor for any mixture of the fields of two.
func TestReplayedSignature(t *testing.T) {
	s, key := signed(t)
	all, tried := infos(t, s), 0
	for _, signer := range all {
		for _, other := range all {
			if other.Path == signer.Path {
				continue
			}
			for mixture := range 1<<4 - 1 { // which of the four signed fields are those of other
				forged := *signer
				forged.CA = ""
				changed := false
				take := func(bit int, differs bool, set func()) {
					if mixture&(1<<bit) == 0 {
						set()
						changed = changed || differs
					}
				}
				take(0, true, func() { forged.Path = other.Path })
				take(1, other.NarHash != signer.NarHash, func() { forged.NarHash = other.NarHash })
				take(2, other.NarSize != signer.NarSize, func() { forged.NarSize = other.NarSize })
				take(3, !slices.Equal(other.References, signer.References), func() { forged.References = other.References })
				_, err := voucher(&forged, Keys{key})
				if changed && err == nil {
					t.Errorf("the signature of %q vouches for %+v", signer.Path, forged)
				}
				tried++
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d mixtures were tried", tried)
	}
}

// TestForgedFingerprint checks that a signature counts only for the exact text that Nix signs.
func TestForgedFingerprint(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys{{Name: "signer-1", Public: public}}
	sign := func(key ed25519.PrivateKey, text string) string {
		return "signer-1:" + base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
	}
	info := &profile.Info{Path: "/nix/store/00000000000000000000000000000001-a", NarHash: profile.Hash{1}, NarSize: 7, References: []profile.Path{
		"/nix/store/00000000000000000000000000000001-a", "/nix/store/00000000000000000000000000000002-b",
	}}
	a, b := string(info.References[0]), string(info.References[1])
	good := Fingerprint(info)
	for name, text := range map[string]string{
		"references in another order":       strings.Replace(good, a+","+b, b+","+a, 1),
		"a reference twice":                 good + "," + b,
		"no references":                     strings.TrimSuffix(good, a+","+b),
		"base names":                        strings.Replace(good, a+","+b, info.References[0].Base()+","+info.References[1].Base(), 1),
		"another store directory":           strings.ReplaceAll(good, "/nix/store", "/gnu/store"),
		"references to another store":       strings.Replace(good, ";"+a+","+b, strings.ReplaceAll(";"+a+","+b, "/nix/store", "/gnu/store"), 1),
		"spaces between references":         strings.Replace(good, a+","+b, a+" "+b, 1),
		"another version":                   "2" + good[1:],
		"no version":                        strings.TrimPrefix(good, "1;"),
		"a hexadecimal hash":                strings.Replace(good, info.NarHash.String(), "sha256:"+info.NarHash.Hex(), 1),
		"an SRI hash":                       strings.Replace(good, info.NarHash.String(), info.NarHash.SRI(), 1),
		"a size with a zero":                strings.Replace(good, ";7;", ";07;", 1),
		"a newline at its end":              good + "\n",
		"a claim of a shared cache":         "export-profile cache 1 layer\n" + good,
		"a claim of a shared cache, a fact": "export-profile cache 1 fact\n" + good,
		"nothing":                           "",
	} {
		forged := *info
		forged.Signatures = []string{sign(private, text)}
		if _, err := voucher(&forged, keys); !refused(err, info.Path, `the signature of key "signer-1" does not verify`) {
			t.Errorf("a signature over %s (%q) = %v; want it refused", name, text, err)
		}
		if keys.Verify([]byte("export-profile cache 1 layer\n"+good), []string{sign(private, good)}) == nil {
			t.Error("the signature of an object vouches for a claim of a shared cache")
		}
	}
	// Another key of the same name neither vouches nor gets in the way.
	for _, signatures := range [][]string{
		{sign(stranger, good)}, {sign(stranger, good), sign(stranger, good)}, {"Signer-1" + strings.TrimPrefix(sign(private, good), "signer-1")},
		{"signer-1:" + sign(private, good)}, {" " + sign(private, good)}, {sign(private, good) + " "}, {strings.TrimPrefix(sign(private, good), "signer-1")},
	} {
		forged := *info
		forged.Signatures = signatures
		if _, err := voucher(&forged, keys); err == nil {
			t.Errorf("signatures %q vouch", signatures)
		}
		forged.Signatures = append(signatures, sign(private, good))
		if _, err := voucher(&forged, keys); err != nil {
			t.Errorf("signatures %q = %v; want the last one to vouch", forged.Signatures, err)
		}
	}
}

// TestManySignatures checks that no more signatures are verified than a few, since a narinfo has room for thousands.
func TestManySignatures(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	good := "signer-1:" + base64.StdEncoding.EncodeToString(ed25519.Sign(private, message))
	wrong := "signer-1:" + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("another")))
	keys := Keys{{Name: "signer-1", Public: public}}
	for before, want := range map[int]bool{maxTries - 1: true, maxTries: false, 10_000: false} {
		if err := keys.Verify(message, append(slices.Repeat([]string{wrong}, before), good)); (err == nil) != want {
			t.Errorf("Verify of %d wrong signatures and a right one = %v; want it found: %v", before, err, want)
		}
	}
	others := slices.Repeat([]string{"stranger:" + strings.TrimPrefix(wrong, "signer-1:")}, 10_000)
	if err := keys.Verify(message, append(others, good)); err != nil {
		t.Errorf("Verify after the signatures of strangers = %v; want <nil>", err)
	}
}
