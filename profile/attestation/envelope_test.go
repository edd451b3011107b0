package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"testing"
)

// TestPreAuthEncoding checks the vectors of DSSE's protocol.md (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md),
// and that lengths count bytes.
func TestPreAuthEncoding(t *testing.T) {
	for _, test := range []struct{ payloadType, payload, want string }{
		{"http://example.com/HelloWorld", "hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world"},
		{"", "", "DSSEv1 0  0 "},
		{"ż", "ó\x00\n", "DSSEv1 2 ż 4 ó\x00\n"},
		{"a 1 b", "c", "DSSEv1 5 a 1 b 1 c"},
	} {
		if got := preAuthEncoding(test.payloadType, []byte(test.payload)); string(got) != test.want {
			t.Errorf("preAuthEncoding(%q, %q) = %q; want %q", test.payloadType, test.payload, got, test.want)
		}
	}
}

// number parses a decimal number.
func number(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("%q is not a number", s)
	}
	return n
}

// TestPublishedSignature makes the signature in DSSE's protocol.md with the key that is there.
// It is by ECDSA as RFC 6979 says. There it is written as r and s without DER.
func TestPublishedSignature(t *testing.T) {
	const published = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
	d := number(t, "97358161215184420915383655311931858321456579547487070936769975997791359926199")
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	k := parseSecret(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	message := preAuthEncoding("http://example.com/HelloWorld", []byte("hello world"))
	signature, err := k.sign(message)
	if err != nil {
		t.Fatal(err)
	}
	if !k.Public().verify(message, signature) {
		t.Errorf("verify(%x) = false; want true", signature)
	}
	var got struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &got); err != nil {
		t.Fatal(err)
	}
	raw := append(got.R.FillBytes(make([]byte, 32)), got.S.FillBytes(make([]byte, 32))...)
	if got := base64.StdEncoding.EncodeToString(raw); got != published {
		t.Errorf("sign(%q) = %s; want %s", message, got, published)
	}
}

// TestStrictDER checks that an ECDSA signature verifies in one encoding only.
func TestStrictDER(t *testing.T) {
	k := parseSecret(t, testKeys(t)["ec.pem"])
	message := []byte("message")
	var signature []byte
	for i := 0; len(signature) != 70; i++ { // neither number has a leading zero
		message = append(message, byte(i))
		var err error
		if signature, err = k.sign(message); err != nil {
			t.Fatal(err)
		}
	}
	if !k.Public().verify(message, signature) {
		t.Fatalf("verify(%x) = false; want true", signature)
	}
	r, s := signature[4:36], signature[38:70]
	number := func(b ...byte) []byte { return append([]byte{2, byte(len(b))}, b...) }
	sequence := func(parts ...[]byte) []byte {
		b := bytes.Join(parts, nil)
		return append([]byte{0x30, byte(len(b))}, b...)
	}
	if rebuilt := sequence(number(r...), number(s...)); !bytes.Equal(rebuilt, signature) {
		t.Fatalf("rebuilt signature %x; want %x", rebuilt, signature)
	}
	zero := []byte{0}
	for name, other := range map[string][]byte{
		"a leading zero of r": sequence(number(append(zero, r...)...), number(s...)),
		"a leading zero of s": sequence(number(r...), number(append(zero, s...)...)),
		"a third number":      sequence(number(r...), number(s...), number(0)),
		"bytes after it":      append(bytes.Clone(signature), 0),
		"a long length":       append([]byte{0x30, 0x81, 68}, signature[2:]...),
		"no fixed length":     append(append([]byte{0x30, 0x80}, signature[2:]...), 0, 0),
		"a set":               append([]byte{0x31}, signature[1:]...),
		"no DER":              append(bytes.Clone(r), s...),
		"r and s swapped":     sequence(number(s...), number(r...)),
		"zeros":               sequence(number(0), number(0)),
		"no s":                sequence(number(r...)),
		"nothing":             nil,
	} {
		if k.Public().verify(message, other) {
			t.Errorf("verify of a signature with %s = true; want false", name)
		}
	}
	// ECDSA itself has this second form of a signature. Both vouch for the same message.
	n := elliptic.P256().Params().N
	negated := new(big.Int).Sub(n, new(big.Int).SetBytes(s)).FillBytes(make([]byte, 32))
	if negated[0]&0x80 != 0 {
		negated = append(zero, negated...)
	}
	if !k.Public().verify(message, sequence(number(r...), number(negated...))) {
		t.Error("verify(r, -s) = false; want true, as Verify's comment says")
	}
}

// TestEd25519IsPlain checks that signatures are of the message, not of its hash, as cosign wants it for envelopes.
func TestEd25519IsPlain(t *testing.T) {
	k := parseSecret(t, testKeys(t)["ed.pem"])
	signature, err := k.sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(testKeys(t)["ed.pem"])
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want, err := key.(crypto.Signer).Sign(nil, []byte("message"), crypto.Hash(0))
	if err != nil || !bytes.Equal(signature, want) {
		t.Errorf("sign = %x; want %x, %v", signature, want, err)
	}
	sum := sha256.Sum256([]byte("message"))
	if k.Public().verify(sum[:], signature) {
		t.Error("the signature is one of the hash")
	}
}
