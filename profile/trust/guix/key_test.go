package guix

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

const (
	qHex      = "38A8B20BD4F2240EEE818D6CB443F052302954E6A09F12B1C9FCE2106EAC9B7E"
	ecc       = "(public-key (ecc (curve Ed25519) (q #" + qHex + "#)))"
	importTag = " (tag (guix import))"
)

// TestParseKeys checks what libgcrypt and people write, and what is refused.
func TestParseKeys(t *testing.T) {
	q, _ := hex.DecodeString(qHex)
	rsaOf := func(n int, e string) string {
		return "(public-key (rsa (n #00" + strings.Repeat("F1", n/8) + "#) (e #" + e + "#)))"
	}
	for _, test := range []struct{ name, in, want string }{
		{"ed25519.pub", read(t, "ed25519.pub"), "38A8B20BD4F2240E"},
		{"rsa.pub", read(t, "rsa.pub"), "C7BDFF92832FFBF2"},
		{"acl", read(t, "acl"), "38A8B20BD4F2240E C7BDFF92832FFBF2"},
		{"two keys", read(t, "ed25519.pub") + read(t, "rsa.pub"), "38A8B20BD4F2240E C7BDFF92832FFBF2"},
		{"indented by hand", "(public-key\n (ecc\n  (curve Ed25519)\n  (q #" + qHex + "#)\n  )\n )\n", "38A8B20BD4F2240E"},
		{"canonical", fmt.Sprintf("(10:public-key(3:ecc(5:curve7:Ed25519)(1:q32:%s)))", q), "38A8B20BD4F2240E"},
		{"in another order", "(public-key (ecc (q #" + strings.ToLower(qHex) + "#) (curve \"Ed25519\") (flags rfc6979)))", "38A8B20BD4F2240E"},
		{"with a byte before it", "(public-key (ecc (curve Ed25519) (q #40" + qHex + "#)))", "38A8B20BD4F2240E"},
		{"an empty list", "(acl)", ""},
		{"a list", "(acl (entry " + ecc + importTag + "))", "38A8B20BD4F2240E"},
		{"RSA of 2048 bits", rsaOf(2048, "03"), "F1F1F1F1F1F1F1F1"},
		{"RSA of 8192 bits", rsaOf(8192, "010001"), "F1F1F1F1F1F1F1F1"},

		{"dsa.pub", read(t, "dsa.pub"), "a DSA key is not supported, only Ed25519 and RSA are"},
		{"rsa1024.pub", read(t, "rsa1024.pub"), "an RSA key of 1024 bits is not supported: it needs at least 2048"},
		{"p256.pub", read(t, "p256.pub"), `a key of the curve "NIST P-256" is not supported, only Ed25519 and RSA are`},
		{"eddsa.pub", read(t, "eddsa.pub"), "a key with the flag eddsa is not supported: Guix signs nothing with it"},
		{"ed25519.sec", read(t, "ed25519.sec"), "it is a secret key: the public one is in the file whose name ends in .pub"},
		{"flags in a list", "(public-key (ecc (curve Ed25519) (flags (eddsa)) (q #" + qHex + "#)))", "a key with unknown flags is not supported"},
		{"other flags", "(public-key (ecc (curve Ed25519) (flags gost) (q #" + qHex + "#)))", "a key with unknown flags is not supported"},
		{"elg", "(public-key (elg (p #01#)))", "an ElGamal key is not supported, only Ed25519 and RSA are"},
		{"RSA of 8200 bits", rsaOf(8200, "03"), "an RSA key of more than 8192 bits is not supported"},
		{"RSA of 16 KiB", rsaOf(16<<13, "03"), "an RSA key of more than 8192 bits is not supported"},
		{"RSA with e 1", rsaOf(2048, "01"), "an RSA key with such numbers is not supported: n is odd, and e is odd and from 3 to 2^31"},
		{"RSA with e 2^32+1", rsaOf(2048, "0100000001"), "an RSA key with such numbers is not supported: n is odd, and e is odd and from 3 to 2^31"},
		{"RSA with an even n", strings.Replace(rsaOf(2048, "03"), "F1#", "F0#", 1), "an RSA key with such numbers is not supported: n is odd, and e is odd and from 3 to 2^31"},
		{"RSA without e", "(public-key (rsa (n #" + strings.Repeat("F1", 256) + "#)))", `"rsa" without numbers n and e`},
		{"a short q", "(public-key (ecc (curve Ed25519) (q #" + qHex[2:] + "#)))", "its q is no point of Ed25519"},
		{"no q", "(public-key (ecc (curve Ed25519)))", "its q is no point of Ed25519"},
		{"no curve", "(public-key (ecc (q #" + qHex + "#)))", `"ecc" names no curve`},
		{"two q", "(public-key (ecc (curve Ed25519) (q #00#) (q #" + qHex + "#)))", `two lists of "q" in "ecc"`},
		{"two keys in one", "(public-key (ecc) (rsa))", `2 keys in one "public-key"`},
		{"no key", "(public-key)", `0 keys in one "public-key"`},
		{"more", "(public-key (ecc (curve Ed25519) (q #" + qHex + "#) (d #00#)))", `something unknown in "ecc"`},
		{"something else", "(signature)", "neither a public key of Guix nor a list of keys"},
		{"a bare list", "()", "neither a public key of Guix nor a list of keys"},
		{"no list", "public-key", "s-expression, byte 0: no parenthesis opens here"},
		{"another tag", "(acl (entry " + ecc + " (tag (guix export))))", "entry 1 of the list: its tag is not (guix import)"},
		{"a longer tag", "(acl (entry " + ecc + " (tag (guix import x))))", "entry 1 of the list: its tag is not (guix import)"},
		{"no tag", "(acl (entry " + ecc + "))", "entry 1 of the list: its tag is not (guix import)"},
		{"no entry", "(acl " + ecc + ")", `entry 1 of the list: no list of "entry"`},
		{"a bad second entry", "(acl (entry " + ecc + importTag + ") (entry " + read(t, "dsa.pub") + importTag + "))",
			"entry 2 of the list: a DSA key is not supported, only Ed25519 and RSA are"},
		{"a long file", strings.Repeat(" ", maxKeys+1), "more than 1048576 bytes of keys"},
	} {
		keys, err := ParseKeys(test.in)
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID())
		}
		got := strings.Join(ids, " ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: ParseKeys = %s; want %s", test.name, got, test.want)
		}
	}
}

func TestEqual(t *testing.T) {
	all, err := ParseKeys(read(t, "acl"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKeys(read(t, "acl"))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range all {
		for j, l := range again {
			if k.Equal(l) != (i == j) {
				t.Errorf("key %s equals key %s: %v", k.ID(), l.ID(), k.Equal(l))
			}
		}
	}
	negative := strings.Replace(ecc, "7E#", "FE#", 1) // the same y
	minus, err := ParseKeys(negative)
	if err != nil || minus[0].Equal(all[0]) || minus[0].ID() != all[0].ID() {
		t.Errorf("the negative key = %v, %v; want another one with the same ID", minus, err)
	}
}

// FuzzParseKeys checks that errors quote no secret.
func FuzzParseKeys(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := ParseKeys(text)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("ParseKeys(%q) = %v", text, err)
		}
	})
}
