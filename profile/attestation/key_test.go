package attestation

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// testKeys returns the files of testdata/keys.txtar, whose comment says what made them.
func testKeys(t testing.TB) map[string][]byte {
	t.Helper()
	a, err := txtar.ParseFile("testdata/keys.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	return files
}

// The IDs of keys in testdata/keys.txtar, by openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64.
const (
	ecID      = "FVViqvKGyky5Zyf0ocgvkPiGW8KVILXwM2zJ7fW8EBM="
	edID      = "lpmprnSgG4DNn/tLgOVtTcDhI7rB6ceW7Zaew4cyMeE="
	cosign2ID = "NzsoqwPjMXong3QoHOAKCtvyAY2b/PZ8ytAmHCiXaDM="
	cosign3ID = "PovFbEahTe/PJiSf6lGkQtPAedWymCPrRqyHCerS1gk="
	emptyID   = "YxlWl4vlSBVPbKtYJ87ZmiheBqF755++H5zQ3HTjY1I="
	nixID     = "example.com-1:0UbDvNeEt/bnmWiMcB8+XcBm37gdTiYEVNZoL/IwQn0="
)

// publicCases are files of public keys, as names in testdata/keys.txtar with what is around them.
var publicCases = []struct {
	text string // "{name}" is replaced by a file of testdata/keys.txtar
	ids  string // of the keys, separated by spaces
	form KeyForm
	err  string
}{
	{text: "{ec.pub}", ids: ecID},
	{text: "{ed.pub}", ids: edID},
	{text: "{cosign2.pub}", ids: cosign2ID},
	{text: "{cosign3.pub}", ids: cosign3ID},
	{text: "\n{ec.pub}\n{ed.pub}", ids: ecID + " " + edID},
	{text: "{ec.pub}{ec.pub}", ids: ecID + " " + ecID},
	{text: "{nix.pub}", ids: nixID},
	{text: "# the cache's\n{nix.pub} other-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY= # and another", ids: nixID + " other-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="},
	{text: "", err: "there is none"},
	{text: " \n# no key\n", err: "there is none"},
	{text: "{nix.sec}", form: NixSecretKey, err: "it is a secret key"},
	{text: "{nix.pub}\n{nix.sec}", form: NixSecretKey, err: "it is a secret key"},
	{text: "example.com-1:AAAA", err: `line 1: "example.com-1": 3 bytes, not 32`},
	{text: "example.com-1:0UbDvNeEt/bnmWiMcB8+XcBm37gdTiYEVNZoL/IwQn1=", err: `line 1: "example.com-1": not base 64`},
	{text: "zero:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", err: "anyone can sign for it: it is a point of small order"},
	{text: "a\u202eb:0UbDvNeEt/bnmWiMcB8+XcBm37gdTiYEVNZoL/IwQn0=", err: "its name has a character that cannot be printed"},
	{text: "a\xffb:0UbDvNeEt/bnmWiMcB8+XcBm37gdTiYEVNZoL/IwQn0=", err: "its name has a character that cannot be printed"},
	{text: "some words", err: "line 1: not of the form name:base64"},
	{text: "{openssh.pub}", form: OpenSSHPublicKey, err: "it is a public key of OpenSSH"},
	{text: `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`, form: JSON, err: "it is JSON, not a key"},
	{text: "{ec.pem}", form: PKCS8, err: "it is a secret key"},
	{text: "{ec.pub}{ec.pem}", form: PKCS8, err: "it is a secret key"},
	{text: "{cosign3.key}", form: EncryptedCosign, err: "it is an encrypted secret key"},
	{text: "{pkcs8-encrypted.pem}", form: EncryptedPKCS8, err: "it is an encrypted secret key"},
	{text: "{sec1.pem}", form: SEC1, err: "it is a secret key in the old form of SEC 1, not PKCS #8"},
	{text: "{certificate.pem}", form: Certificate, err: "it is a certificate"},
	{text: "{rsa.pub}", form: RSA, err: "it is an RSA key, not ECDSA or Ed25519"},
	{text: "{p384.pub}", form: OtherCurve, err: "it is for the curve P-384, not P-256"},
	{text: "{x25519.pub}", err: "it is of an unknown kind, not ECDSA or Ed25519"},
	{text: "{ec.pub}rest", err: "there is text outside of the PEM blocks"},
	{text: "before {ec.pub}", err: "there is text outside of the PEM blocks"},
	{text: "{nix.pub}{ec.pub}", err: "there is text outside of the PEM blocks"},
	{text: "{ec.pub}{nix.pub}", err: "there is text outside of the PEM blocks"},
	{text: "-----BEGIN PUBLIC KEY-----\nAAAA\n{ec.pub}", err: "the PEM block is damaged"},
	{text: "-----BEGIN PUBLIC KEY-----\nAAAA\n", err: "the PEM block is damaged or not whole"},
	{text: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", err: "the PEM block holds no key of a known algorithm, or is damaged"},
	{text: "-----BEGIN PUBLIC KEY-----\nA: b\n\nAAAA\n-----END PUBLIC KEY-----\n", err: "the PEM block has headers"},
	{text: "-----BEGIN THING-----\nAAAA\n-----END THING-----\n", err: "it is of an unknown kind"},
	{text: strings.Repeat(" ", MaxKeys) + "{ec.pub}", err: "it has more than 1048576 bytes"},
}

// fill replaces {name} by a file of testdata/keys.txtar.
func fill(keys map[string][]byte, text string) []byte {
	for name, content := range keys {
		text = strings.ReplaceAll(text, "{"+name+"}", string(content))
	}
	return []byte(text)
}

func TestParseKeys(t *testing.T) {
	files := testKeys(t)
	for _, test := range publicCases {
		keys, err := ParseKeys(fill(files, test.text))
		var ids []string
		for _, k := range keys {
			ids = append(ids, k.ID())
		}
		name := test.text[:min(len(test.text), 60)]
		if got := strings.Join(ids, " "); got != test.ids {
			t.Errorf("ParseKeys(%q) = %s, %v; want %s", name, got, err, test.ids)
		}
		checkKeyError(t, fmt.Sprintf("ParseKeys(%q)", name), err, false, test.form, test.err)
	}
}

// checkKeyError checks an error about a key.
func checkKeyError(t *testing.T, call string, err error, secret bool, form KeyForm, reason string) {
	t.Helper()
	var refused *KeyError
	switch {
	case reason == "" && err == nil:
	case !errors.As(err, &refused), refused.Secret != secret, refused.Form != form, refused.Reason != reason:
		t.Errorf("%s: error %#v; want a KeyError with %t, %q, %q", call, err, secret, form, reason)
	}
}

func FuzzParseKeys(f *testing.F) {
	files := testKeys(f)
	for _, test := range publicCases {
		if len(test.text) < 1000 {
			f.Add(fill(files, test.text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (len(keys) == 0) == (err == nil) {
			t.Fatalf("ParseKeys(%q) = %v, %v", text, keys, err)
		}
		for _, k := range keys {
			again, err := ParseKeys(k.PEM())
			if err != nil || len(again) != 1 || again[0].Fingerprint() != k.Fingerprint() {
				t.Errorf("ParseKeys(%q) = %v, %v; want key %s", k.PEM(), again, err, k.Fingerprint())
			}
		}
	})
}

// TestPublicKeyFlips checks that no flipped bit makes another key of a file of public keys.
func TestPublicKeyFlips(t *testing.T) {
	files := testKeys(t)
	for _, name := range []string{"ec.pub", "ed.pub", "nix.pub"} {
		text := files[name]
		want, err := ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for bit := 0; bit < len(text)*8; bit += testrun.Of(3, 1) {
			flipped := bytes.Clone(text)
			flipped[bit/8] ^= 1 << (bit % 8)
			keys, err := ParseKeys(flipped)
			switch {
			case err != nil:
				refused++
			case name == "nix.pub" && keys[0].ID() != want[0].ID(): // 256 bits are the key: nearly any other is one, too
			case len(keys) != 1 || keys[0].ID() != want[0].ID() && name == "ec.pub":
				t.Errorf("ParseKeys of %s with bit %d flipped = %s", name, bit, keys[0].ID())
			}
		}
		if refused == 0 {
			t.Errorf("no flipped bit of %s is refused", name)
		}
	}
}

// TestPKIXForm checks that a public key has one form only. The standard library accepts more fields after those of the key.
func TestPKIXForm(t *testing.T) {
	block, _ := pem.Decode(testKeys(t)["ed.pub"])
	var parts []asn1.RawValue
	if _, err := asn1.Unmarshal(block.Bytes, &parts); err != nil {
		t.Fatal(err)
	}
	longer, err := asn1.Marshal(append(parts, asn1.RawValue{FullBytes: []byte{asn1.TagNull, 0}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParsePKIXPublicKey(longer); err != nil {
		t.Errorf("the standard library refuses %x: %v; this case tests nothing", longer, err)
	}
	keys, err := ParseKeys(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: longer}))
	if err == nil {
		t.Errorf("ParseKeys(%x) = %v; want an error", longer, keys)
	}
}

// TestWeakKeys checks that a forged signature verifies for each key that is refused as weak.
func TestWeakKeys(t *testing.T) {
	for _, point := range weakPoints {
		for _, sign := range []byte{0, 0x80} {
			key := ed25519.PublicKey(point)
			key = append(key[:31:31], key[31]|sign)
			if _, err := newPublicKey(key); err == nil {
				t.Errorf("newPublicKey(%x) = <nil>; want an error", key)
			}
			// R is the neutral point and S is zero. The signature verifies if the hash is a multiple of the order.
			forged := append([]byte{1}, make([]byte, 63)...)
			if !slices.ContainsFunc(messages(200), func(m []byte) bool { return ed25519.Verify(key, m, forged) }) {
				t.Errorf("key %x is not weak", key)
			}
		}
	}
}

func messages(n int) (all [][]byte) {
	for i := range n {
		all = append(all, fmt.Appendf(nil, "message %d", i))
	}
	return all
}

// TestHints checks which keys the hint of a bundle names.
func TestHints(t *testing.T) {
	files := testKeys(t)
	nix, err := ParseKeys(files["nix.pub"])
	if err != nil {
		t.Fatal(err)
	}
	inPEM, err := ParseKeys(nix[0].PEM())
	if err != nil {
		t.Fatal(err)
	}
	const sameName = "example.com-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="
	otherName := strings.Replace(nixID, "com-1", "com-2", 1)
	for _, test := range []struct {
		key  PublicKey
		hint string
		want bool
	}{
		{nix[0], "", true},
		{nix[0], nixID, true},
		{nix[0], nix[0].Fingerprint(), true},
		{nix[0], "example.com-1", false},
		{nix[0], sameName, false},
		{nix[0], otherName, false},
		{nix[0], nixID + " ", false},
		{inPEM[0], nix[0].Fingerprint(), true},
		{inPEM[0], nixID, true},
		{inPEM[0], otherName, true}, // a key in PEM has no name
		{inPEM[0], sameName, false},
		{inPEM[0], "example.com-1", false},
		{inPEM[0], ecID, false},
		{inPEM[0], strings.TrimSuffix(nixID, "="), false},
	} {
		if got := test.key.isHinted(test.hint); got != test.want {
			t.Errorf("isHinted(%q) of key %s = %t; want %t", test.hint, test.key.ID(), got, test.want)
		}
	}
}

// TestNixSignature checks that a Nix key signs as trust.SecretKey does.
func TestNixSignature(t *testing.T) {
	files := testKeys(t)
	secret, err := trust.ParseSecretKey(string(files["nix.sec"]))
	if err != nil {
		t.Fatal(err)
	}
	k := parseSecret(t, files["nix.sec"])
	signed, err := k.Sign([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		DSSEEnvelope struct{ Signatures []struct{ Sig string } }
	}
	if err := json.Unmarshal(signed, &b); err != nil {
		t.Fatal(err)
	}
	want := secret.Sign([]byte("DSSEv1 28 application/vnd.in-toto+json 2 {}"))
	if got := secret.Name + ":" + b.DSSEEnvelope.Signatures[0].Sig; got != want {
		t.Errorf("Sign made the signature %s; want %s", got, want)
	}
	if got := base64.StdEncoding.EncodeToString(k.Public().key.(ed25519.PublicKey)); "example.com-1:"+got != nixID {
		t.Errorf("Public = %s; want %s", got, nixID)
	}
}
