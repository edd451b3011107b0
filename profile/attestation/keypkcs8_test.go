package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"testing"
)

// derOf returns the PKCS #8 of a key in testdata/keys.txtar.
func derOf(t testing.TB, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(testKeys(t)[name])
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	return block.Bytes
}

// standardPKCS8 parses PKCS #8 with the standard library. It returns nil for keys that parsePKCS8 refuses.
func standardPKCS8(der []byte) *PublicKey {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil
	}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
		if public, err := newPublicKey(key.(crypto.Signer).Public()); err == nil {
			return &public
		}
	}
	return nil
}

// FuzzPKCS8 compares parsePKCS8 with the standard library, which accepts a bit more: text after the key, and another public key in it.
func FuzzPKCS8(f *testing.F) {
	for _, name := range []string{"ec.pem", "ed.pem", "rsa.pem", "p384.pem", "secp256k1.pem", "explicit.pem", "x25519.pem", "ed448.pem"} {
		der := derOf(f, name)
		f.Add(der)
		for _, at := range []int{4, len(der) / 2, len(der) - 1} {
			damaged := bytes.Clone(der)
			damaged[at] ^= 1
			f.Add(damaged)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		want := standardPKCS8(der)
		got, err := parsePKCS8(der)
		switch {
		case err != nil && got != nil:
			t.Errorf("parsePKCS8(%x) = %v, %v", der, got, err)
		case err == nil && (want == nil || want.ID() != got.Public().ID()):
			t.Errorf("parsePKCS8(%x) = key %s; the standard library finds %v", der, got.Public().ID(), want)
		}
	})
}

// TestPKCS8Forms checks that keys are accepted in all forms that programs write.
func TestPKCS8Forms(t *testing.T) {
	var info privateKeyInfo
	var inner ecPrivateKey
	der := derOf(t, "ec.pem")
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(info.PrivateKey, &inner); err != nil {
		t.Fatal(err)
	}
	small := append(make([]byte, 2), bytes.Repeat([]byte{7}, 30)...)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), small)
	if err != nil {
		t.Fatal(err)
	}
	smallKey, err := newPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other := asn1.BitString{Bytes: smallKey.der[len(smallKey.der)-65:], BitLength: 65 * 8}
	for _, test := range []struct {
		name   string
		change func(*ecPrivateKey)
		id     string // "" if it is refused
	}{
		{"as openssl writes it", func(*ecPrivateKey) {}, ecID},
		{"without its public key", func(k *ecPrivateKey) { k.PublicKey = asn1.BitString{} }, ecID},
		{"with its curve", func(k *ecPrivateKey) { k.Curve = oidP256 }, ecID},
		{"with another curve", func(k *ecPrivateKey) { k.Curve = oidEd25519 }, ""},
		{"with another public key", func(k *ecPrivateKey) { k.PublicKey = other }, ""},
		{"with more zeros", func(k *ecPrivateKey) { k.PrivateKey = append([]byte{0, 0}, k.PrivateKey...) }, ecID},
		{"with fewer zeros", func(k *ecPrivateKey) { k.PrivateKey, k.PublicKey = small[2:], other }, smallKey.ID()},
		{"of more bytes", func(k *ecPrivateKey) { k.PrivateKey = append([]byte{1}, k.PrivateKey...) }, ""},
		{"that is zero", func(k *ecPrivateKey) { k.PrivateKey = []byte{0} }, ""},
		{"as large as the group", func(k *ecPrivateKey) { k.PrivateKey = elliptic.P256().Params().N.Bytes() }, ""},
		{"of another version", func(k *ecPrivateKey) { k.Version = 2 }, ""},
	} {
		changed := inner
		test.change(&changed)
		made := info
		var err error
		if made.PrivateKey, err = asn1.Marshal(changed); err != nil {
			t.Fatal(err)
		}
		der, err := asn1.Marshal(made)
		if err != nil {
			t.Fatal(err)
		}
		k, err := parsePKCS8(der)
		if (err == nil) != (test.id != "") || err == nil && k.Public().ID() != test.id {
			t.Errorf("a key %s: %v, %v; want %q", test.name, k, err, test.id)
		}
	}
	if k, err := parsePKCS8(append(der, 0)); err == nil {
		t.Errorf("a key with a byte after it: %v; want an error", k)
	}
}
