package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
)

// privateKeyInfo is a key in PKCS #8 (RFC 5958, section 2).
type privateKeyInfo struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
	// optional fields follow
}

// ecPrivateKey is the inner form of an ECDSA key (RFC 5915).
type ecPrivateKey struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSA   = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} // RFC 5480
	oidP256    = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112} // RFC 8410
)

// parsePKCS8 parses a key without encryption. It takes the place of x509.ParsePKCS8PrivateKey,
// with which the program would also contain all that signs with RSA.
func parsePKCS8(der []byte) (*SecretKey, error) {
	fail := func(form KeyForm, why string) (*SecretKey, error) {
		return nil, &KeyError{Secret: true, Form: form, Reason: why}
	}
	var info privateKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return fail(UnknownForm, "the PEM block is damaged")
	}
	switch algorithm := info.Algorithm.Algorithm; {
	case algorithm.Equal(oidRSA):
		return fail(RSA, RSA.describe()+", not ECDSA or Ed25519")
	case algorithm.Equal(oidEd25519):
		return parseEd25519(info)
	case !algorithm.Equal(oidECDSA):
		return fail(UnknownForm, "it is of an unknown kind, not ECDSA or Ed25519")
	}
	var curve asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 {
		return fail(OtherCurve, "it does not name its curve, which should be P-256")
	}
	if !curve.Equal(oidP256) {
		return fail(OtherCurve, OtherCurve.describe())
	}
	return parseP256(info)
}

// parseEd25519 parses the inner form of an Ed25519 key: an octet string in an octet string (RFC 8410, section 7).
func parseEd25519(info privateKeyInfo) (*SecretKey, error) {
	var seed []byte
	rest, err := asn1.Unmarshal(info.PrivateKey, &seed)
	if err != nil || len(rest) > 0 || len(seed) != ed25519.SeedSize || len(info.Algorithm.Parameters.FullBytes) > 0 {
		return nil, &KeyError{Secret: true, Reason: "the Ed25519 key is damaged"}
	}
	key := ed25519.NewKeyFromSeed(seed)
	public, err := newPublicKey(key.Public())
	if err != nil {
		return nil, &KeyError{Secret: true, Reason: err.Error()}
	}
	return &SecretKey{public, func(message []byte) ([]byte, error) { return ed25519.Sign(key, message), nil }}, nil
}

// parseP256 parses the inner form of an ECDSA key. The public key in it, if it is there and not compressed, must belong to it.
func parseP256(info privateKeyInfo) (*SecretKey, error) {
	fail := func() (*SecretKey, error) { return nil, &KeyError{Secret: true, Reason: "the ECDSA key is damaged"} }
	var inner ecPrivateKey
	rest, err := asn1.Unmarshal(info.PrivateKey, &inner)
	if err != nil || len(rest) > 0 || inner.Version != 1 || len(inner.Curve) > 0 && !inner.Curve.Equal(oidP256) {
		return fail()
	}
	const size = 32
	number := bytes.TrimLeft(inner.PrivateKey, "\x00") // some programs wrote more zeros, or fewer
	if len(number) > size {
		return fail()
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, size-len(number)), number...))
	if err != nil {
		return fail()
	}
	public, err := newPublicKey(&key.PublicKey)
	if err != nil {
		return fail()
	}
	if point := inner.PublicKey.RightAlign(); len(point) == 1+2*size && !bytes.HasSuffix(public.der, point) {
		return fail()
	}
	return &SecretKey{public, func(message []byte) ([]byte, error) {
		sum := sha256.Sum256(message)
		return key.Sign(nil, sum[:], crypto.SHA256) // without random numbers: RFC 6979 makes the nonce
	}}, nil
}
