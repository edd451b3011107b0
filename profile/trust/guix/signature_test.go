package guix

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// TestSignature checks signatures that libgcrypt made of the SHA-256 of "hello".
func TestSignature(t *testing.T) {
	hash := sha256.Sum256([]byte("hello"))
	for _, test := range []struct{ name, unsupported string }{
		{"ed25519", ""},
		{"rsa", ""},
		{"rsa1024", "an RSA key of 1024 bits is not supported: it needs at least 2048"},
		{"dsa", "a DSA key is not supported, only Ed25519 and RSA are"},
		{"p256", `a key of the curve "NIST P-256" is not supported, only Ed25519 and RSA are`},
	} {
		text := read(t, test.name+".sig")
		all, err := parseExpressions(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{text, canonical(all)} {
			s, err := ParseSignature(form)
			if err != nil || s.Hash() != hash {
				t.Errorf("%s: ParseSignature = %v, %v; want the hash %x", test.name, s, err, hash)
				continue
			}
			k, err := s.Signer()
			switch {
			case test.unsupported != "":
				if err == nil || err.Error() != test.unsupported || k != nil || s.Verified() {
					t.Errorf("%s: Signer = %v, %v, verified %v; want %s", test.name, k, err, s.Verified(), test.unsupported)
				}
				continue
			case err != nil:
				t.Errorf("%s: Signer = %v", test.name, err)
				continue
			}
			if keys, err := ParseKeys(read(t, test.name+".pub")); err != nil || !keys[0].Equal(k) {
				t.Errorf("%s: the signer %s is not the key in the file: %v", test.name, k.ID(), err)
			}
			if !s.Verified() {
				t.Errorf("%s: it does not verify", test.name)
			}
		}
	}
}

// TestSignatureChanged checks that no change of a digit leaves a signature that verifies and says the same.
func TestSignatureChanged(t *testing.T) {
	for _, name := range []string{"ed25519", "rsa"} {
		text := read(t, name+".sig")
		hash := sha256.Sum256([]byte("hello"))
		keys, err := ParseKeys(read(t, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for i, c := range []byte(text) {
			if !strings.ContainsRune("0123456789ABCDEF", rune(c)) || name == "rsa" && i%7 > 0 {
				continue
			}
			changed := text[:i] + string("0123456789ABCDEF0"[strings.IndexByte("0123456789ABCDEF", c)+1]) + text[i+1:]
			s, err := ParseSignature(changed)
			if err != nil {
				continue
			}
			tried++
			if k, err := s.Signer(); err == nil && k.Equal(keys[0]) && s.Hash() == hash && s.Verified() {
				t.Errorf("%s: it verifies with byte %d changed:\n%s", name, i, changed)
			}
		}
		if tried < 60 {
			t.Errorf("%s: %d changes were tried; want at least 60", name, tried)
		}
	}
}

// TestShortRSA checks that a number may lack its leading zeros, as libgcrypt writes it, or have one more.
func TestShortRSA(t *testing.T) {
	text := read(t, "rsa.sig")
	_, rest, _ := strings.Cut(text, "(s #")
	value, _, _ := strings.Cut(rest, "#")
	for _, v := range []string{"00" + value, value} {
		s, err := ParseSignature(strings.Replace(text, value, v, 1))
		if err != nil || !s.Verified() {
			t.Errorf("with %d digits: %v", len(v), err)
		}
	}
	for _, v := range []string{"0000" + value, value + "00", ""} {
		if s, err := ParseSignature(strings.Replace(text, value, v, 1)); err == nil {
			t.Errorf("with %d digits: %v; want an error", len(v), s)
		}
	}
	short := new(big.Int).SetInt64(5)
	if s, err := ParseSignature(strings.Replace(text, value, fmt.Sprintf("%02X", short), 1)); err != nil || s.Verified() {
		t.Errorf("with the number 5: %v; want one that does not verify", err)
	}
}

func TestSignatureErrors(t *testing.T) {
	text := strings.Join(strings.Fields(read(t, "ed25519.sig")), " ")
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		return strings.Replace(text, old, with, 1)
	}
	for _, test := range []struct{ name, in, want string }{
		{"nothing", "", "0 s-expressions in place of one"},
		{"two", text + text, "2 s-expressions in place of one"},
		{"cut off", text[:len(text)-3], "s-expression, byte 384: it ends inside a list"},
		{"a long one", strings.Repeat(" ", MaxSignature+1), "more than 16384 bytes"},
		{"a key", read(t, "ed25519.pub"), `no list of "signature"`},
		{"no key", "(signature (data) (sig-val))", `no list of "public-key"`},
		{"no value", replace("(sig-val", "(sig-value"), `something unknown in "signature"`},
		{"two values", replace("(sig-val", "(sig-val) (sig-val"), `two lists of "sig-val" in "signature"`},
		{"a deep one", "(signature (x " + text + "))", `something unknown in "signature"`},
		{"no hash", replace("(hash sha256", "(value sha256"), `something unknown in "data"`},
		{"SHA-1", replace("sha256", "sha1"), "its hash is no SHA-256"},
		{"a short hash", replace("#2CF2", "#"), "a SHA-256 of 30 bytes"},
		{"a long hash", replace("#2CF2", "#2CF2CF"), "a SHA-256 of 33 bytes"},
		{"a bare hash", replace("sha256 #", "#"), `"data" without a hash`},
		{"other flags", replace("rfc6979", "eddsa"), "its data have other flags than rfc6979"},
		{"RSA's flags", replace("rfc6979", "pkcs1"), "its data have other flags than rfc6979"},
		{"more flags", replace("rfc6979", "rfc6979 raw"), "its data have other flags than rfc6979"},
		{"no flags", replace("(flags rfc6979)", ""), "its data have other flags than rfc6979"},
		{"EdDSA", replace("ecdsa", "eddsa"), `it is no signature by such a key: something unknown in "sig-val"`},
		{"no r", replace("(r #", "(s #"), `two lists of "s" in "ecdsa"`},
		{"only s", replace("ecdsa (r", "ecdsa (x"), `something unknown in "ecdsa"`},
		{"a long r", replace("(r #", "(r #000000"), `"ecdsa" without numbers r and s of the right size`},
		{"an empty key", replace("(q #", "(q ##) (q #"), `two lists of "q" in "ecc"`},
	} {
		if s, err := ParseSignature(test.in); err == nil || err.Error() != test.want {
			t.Errorf("%s: ParseSignature = %v, %v; want %s", test.name, s, err, test.want)
		}
	}
}

// FuzzParseSignature checks that no signature verifies for another hash.
func FuzzParseSignature(f *testing.F) {
	addFiles(f)
	keys, err := ParseKeys(read(f, "acl"))
	if err != nil {
		f.Fatal(err)
	}
	hash := sha256.Sum256([]byte("hello"))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSignature(text)
		if err != nil {
			return
		}
		k, err := s.Signer()
		if (k == nil) == (err == nil) {
			t.Errorf("ParseSignature(%q): the signer is %v, %v", text, k, err)
		}
		if s.Verified() && s.Hash() != hash && (k.Equal(keys[0]) || k.Equal(keys[1])) {
			t.Errorf("ParseSignature(%q) verifies", text)
		}
	})
}
