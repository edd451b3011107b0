package trust

import (
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// libgcrypt reads a key or a signature that libgcrypt made, of the SHA-256 of "hello".
func libgcrypt(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("guix/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func guixKeys(t testing.TB, text string) Keys {
	t.Helper()
	keys, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestGuixSigned checks what a signature of Guix vouches for, with the right key only.
func TestGuixSigned(t *testing.T) {
	hash := profile.Hash(sha256.Sum256([]byte("hello")))
	both := guixKeys(t, libgcrypt(t, "acl"))
	const p = "/gnu/store/00000000000000000000000000000001-a"
	for _, test := range []struct {
		name   string
		signed profile.GuixSignature
		keys   Keys
		err    string
	}{
		{"Ed25519", profile.GuixSignature{Text: libgcrypt(t, "ed25519.sig"), Hash: hash}, both, ""},
		{"RSA", profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Hash: hash}, both, ""},
		{"with Nix's keys", profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Hash: hash}, append(Default(), both[1]), ""},
		{"no keys", profile.GuixSignature{Text: libgcrypt(t, "ed25519.sig"), Hash: hash}, nil,
			"it is signed by the Guix key 38A8B20BD4F2240E, which is no trusted key"},
		{"the other key", profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Hash: hash}, both[:1],
			"it is signed by the Guix key C7BDFF92832FFBF2, which is no trusted key"},
		{"a namesake", profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Hash: hash}, Keys{{Name: "C7BDFF92832FFBF2", Public: Default()[0].Public}},
			"it is signed by the Guix key C7BDFF92832FFBF2, which is no trusted key"},
		{"other data", profile.GuixSignature{Text: libgcrypt(t, "ed25519.sig"), Hash: profile.Hash{1}}, both,
			"the signature of the Guix key 38A8B20BD4F2240E is about other data: their hash is " + hash.String() + ", not " + profile.Hash{1}.String()},
		{"other numbers", profile.GuixSignature{Text: strings.Replace(libgcrypt(t, "ed25519.sig"), "(r #08", "(r #07", 1), Hash: hash}, both,
			"the signature of the Guix key 38A8B20BD4F2240E does not verify"},
		{"the text of another key", profile.GuixSignature{Text: strings.Replace(libgcrypt(t, "rsa.sig"), "EB#", "ED#", 1), Hash: hash}, both,
			"it is signed by the Guix key C7BDFF92832FFBF2, which is no trusted key"},
		{"nothing", profile.GuixSignature{Hash: hash}, both, "its signature is broken: 0 s-expressions in place of one"},
		{"a problem", profile.GuixSignature{Text: libgcrypt(t, "ed25519.sig"), Hash: hash, Problem: "its signature is upside down"}, both, "its signature is upside down"},
		{"DSA", profile.GuixSignature{Text: libgcrypt(t, "dsa.sig"), Hash: hash}, both,
			"it is signed by a Guix key that cannot be trusted: a DSA key is not supported, only Ed25519 and RSA are"},
		{"a small key", profile.GuixSignature{Text: libgcrypt(t, "rsa1024.sig"), Hash: hash}, both,
			"it is signed by a Guix key that cannot be trusted: an RSA key of 1024 bits is not supported: it needs at least 2048"},
	} {
		info := &profile.Info{Path: p, NarHash: profile.Hash{1}, NarSize: 1, Guix: &test.signed}
		ca, err := voucher(info, test.keys)
		if test.err == "" && (err != nil || ca != nil) || test.err != "" && !refused(err, p, test.err) {
			t.Errorf("%s: voucher = %v, %v; want %s", test.name, ca, err, test.err)
		}
	}
}

// TestGuixAndNix checks that a signature of one kind is enough if the other one is wrong.
func TestGuixAndNix(t *testing.T) {
	s, key := signed(t)
	info := *infos(t, s)[0]
	info.CA = ""
	info.Guix = &profile.GuixSignature{Problem: "its signature is upside down"}
	if _, err := voucher(&info, Keys{key}); err != nil {
		t.Errorf("voucher with Nix's signature = %v", err)
	}
	info.Guix = &profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Hash: sha256.Sum256([]byte("hello"))}
	if _, err := voucher(&info, guixKeys(t, libgcrypt(t, "acl"))); err != nil {
		t.Errorf("voucher with Guix's signature = %v", err)
	}
	if _, err := voucher(&info, Default()); !errors.Is(err, profile.ErrUntrusted) {
		t.Errorf("voucher without a key = %v; want %v", err, profile.ErrUntrusted)
	}
	if err := guixKeys(t, libgcrypt(t, "acl")).Verify([]byte("hello"), []string{"38A8B20BD4F2240E:" + strings.Repeat("A", 86)}); err == nil {
		t.Error("a Guix key verifies a signature in Nix's form")
	}
}

// TestRequireGuix checks that each object of a copy of a Guix server needs its own signature.
func TestRequireGuix(t *testing.T) {
	sample := storetest.GoldenSample(t)
	dir, file := sample.WriteGuixCache(t, "none")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys := guixKeys(t, string(text))
	r := Require(cache(t, dir), keys)
	if _, err := profile.FindClosure(t.Context(), r, sample.Root); err != nil {
		t.Errorf("FindClosure = %v", err)
	}
	for range 2 { // the second answer is remembered
		for _, info := range sample.Infos {
			if _, err := storetest.List(r.Files(t.Context(), info.Path)); err != nil {
				t.Errorf("Files(%q) = %v", info.Path, err)
			}
		}
		for _, info := range sample.Infos {
			if _, err := Require(cache(t, dir), Default()).Info(t.Context(), info.Path); !refused(err, info.Path, "it is signed by the Guix key "+keys[0].Name+", which is no trusted key") {
				t.Errorf("Info(%q) without the key = %v", info.Path, err)
			}
		}
	}
	untrusted := Require(cache(t, dir), Default())
	for range 2 {
		if _, err := untrusted.Info(t.Context(), sample.Root); !errors.Is(err, profile.ErrUntrusted) {
			t.Errorf("Info without the key = %v; want %v", err, profile.ErrUntrusted)
		}
	}
	// The signature of another object's narinfo is about other data.
	name := dir + "/" + sample.Root.Digest() + ".narinfo"
	other, err := os.ReadFile(dir + "/" + sample.Infos[0].Path.Digest() + ".narinfo")
	if err != nil || sample.Infos[0].Path == sample.Root {
		t.Fatal("no other object", err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	above, _, _ := strings.Cut(string(b), "Signature:")
	_, signature, _ := strings.Cut(string(other), "Signature:")
	if err := os.WriteFile(name, []byte(above+"Signature:"+signature), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Require(cache(t, dir), keys).Info(t.Context(), sample.Root); err == nil || !strings.Contains(err.Error(), "is about other data") {
		t.Errorf("Info with another signature = %v", err)
	}
}

// TestGuixSignature checks the form in which a signature is printed.
func TestGuixSignature(t *testing.T) {
	for name, want := range map[string]string{"ed25519.sig": "38A8B20BD4F2240E:KHNpZ25h", "rsa.sig": "C7BDFF92832FFBF2:KHNpZ25h", "dsa.sig": "", "acl": ""} {
		got, ok := GuixSignature(&profile.Info{Guix: &profile.GuixSignature{Text: libgcrypt(t, name)}})
		if ok != (want != "") || !strings.HasPrefix(got, want) {
			t.Errorf("GuixSignature of %s = %q, %v; want %s…", name, got, ok, want)
		}
	}
	for _, info := range []*profile.Info{{}, {Guix: &profile.GuixSignature{Text: libgcrypt(t, "rsa.sig"), Problem: "x"}}} {
		if got, ok := GuixSignature(info); ok {
			t.Errorf("GuixSignature = %q; want none", got)
		}
	}
}
