package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/export-profile/export-profile/profile/trust"
)

// MaxKeys limits the bytes of a file of keys.
const MaxKeys = 1 << 20

// PublicKey is a key that verifies signatures: ECDSA with P-256, or Ed25519.
type PublicKey struct {
	Name string // the name of a key in Nix's form, or ""
	key  crypto.PublicKey
	der  []byte // its PKIX form
}

// Keys are trusted public keys.
type Keys []PublicKey

// ParseKeys parses a file of trusted public keys, at least one:
//
//   - PEM blocks "PUBLIC KEY" (PKIX, RFC 5280) of an ECDSA key with P-256 or an Ed25519 key (RFC 8410);
//   - or else keys as Nix writes them, "name:base64", separated by white space.
//     A word that begins with # starts a comment up to the end of the line.
//
// It refuses other keys with a [KeyError]. Errors do not quote text, which may be a secret key by mistake.
func ParseKeys(text []byte) (Keys, error) {
	if len(text) > MaxKeys {
		return nil, &KeyError{Reason: fmt.Sprintf("it has more than %d bytes", MaxKeys)}
	}
	if !isPEM(text) {
		return parseNixKeys(string(text))
	}
	var keys Keys
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest, err := nextBlock(text)
		if err != nil {
			return nil, &KeyError{Reason: err.Error()}
		}
		k, err := parsePKIX(block)
		if err != nil {
			return nil, err
		}
		keys, text = append(keys, k), rest
	}
	return keys, nil
}

// parseNixKeys parses keys in Nix's form.
func parseNixKeys(text string) (Keys, error) {
	parsed, err := trust.ParseKeys(text)
	if err != nil {
		for word := range strings.FieldsSeq(text) {
			if _, err := trust.ParseSecretKey(word); err == nil {
				return nil, &KeyError{Form: NixSecretKey, Reason: NixSecretKey.describe()}
			}
		}
		if form := formOfText(text); form != UnknownForm {
			return nil, &KeyError{Form: form, Reason: form.describe()}
		}
		return nil, &KeyError{Reason: withoutKind(err, publicKey)}
	}
	if len(parsed) == 0 {
		return nil, &KeyError{Reason: "there is none"}
	}
	var keys Keys
	for _, key := range parsed {
		if key.Guix != nil {
			return nil, &KeyError{Reason: "it is a key of Guix, which signs no statements"}
		}
		k, err := newPublicKey(key.Public)
		if err == nil {
			err = checkName(key.Name)
		}
		if err != nil {
			return nil, &KeyError{Reason: err.Error()}
		}
		k.Name = key.Name
		keys = append(keys, k)
	}
	return keys, nil
}

// withoutKind returns an error about a key in Nix's form without the words "public key" or "secret key", which [KeyError] adds.
func withoutKind(err error, kind string) string {
	text := err.Error()
	if short := strings.Replace(text, kind+": ", "", 1); short != text {
		return short
	}
	return strings.Replace(text, kind+" ", "", 1)
}

// parsePKIX parses a PEM block.
func parsePKIX(block *pem.Block) (PublicKey, error) {
	fail := func(form KeyForm, why string) (PublicKey, error) {
		return PublicKey{}, &KeyError{Form: form, Reason: why}
	}
	if form := formOfBlock(block); form != PKIXPublicKey {
		return fail(form, form.describe())
	}
	if len(block.Headers) > 0 {
		return fail(UnknownForm, "the PEM block has headers")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fail(UnknownForm, "the PEM block holds no key of a known algorithm, or is damaged")
	}
	k, err := newPublicKey(key)
	if err != nil {
		return fail(formOfKey(key), err.Error())
	}
	if !bytes.Equal(k.der, block.Bytes) {
		return fail(UnknownForm, "the PEM block is not in DER")
	}
	return k, nil
}

// newPublicKey checks the algorithm of a key.
func newPublicKey(key crypto.PublicKey) (PublicKey, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return PublicKey{}, fmt.Errorf("it is for the curve %s, not P-256", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if isWeak(k) {
			return PublicKey{}, errors.New("anyone can sign for it: it is a point of small order")
		}
	default:
		return PublicKey{}, fmt.Errorf("%s, not ECDSA or Ed25519", formOfKey(key).describe())
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return PublicKey{}, errors.New("it cannot be encoded")
	}
	return PublicKey{key: key, der: der}, nil
}

// isWeak returns whether an Ed25519 key is a point of small order, such as 32 zeros.
// For such a key there is a signature that verifies for an eighth of all messages or more.
// y holds the y coordinates of these points that are below 2²⁵⁵, without the sign of x (RFC 8032, section 5.1.3).
func isWeak(k ed25519.PublicKey) bool {
	point := bytes.Clone(k)
	point[31] &= 0x7f
	for _, y := range weakPoints {
		if string(point) == y {
			return true
		}
	}
	return false
}

var weakPoints = []string{
	strings.Repeat("\x00", 32),
	"\x01" + strings.Repeat("\x00", 31),
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
	"\xec" + strings.Repeat("\xff", 30) + "\x7f",
	"\xed" + strings.Repeat("\xff", 30) + "\x7f",
	"\xee" + strings.Repeat("\xff", 30) + "\x7f",
}

// ID names the key in bundles: "name:base64" for a key in Nix's form, and else the [PublicKey.Fingerprint].
// Keys of the same name with other bytes have other IDs.
func (k PublicKey) ID() string {
	if raw, ok := k.key.(ed25519.PublicKey); ok && k.Name != "" {
		return k.Name + ":" + base64.StdEncoding.EncodeToString(raw)
	}
	return k.Fingerprint()
}

// Fingerprint returns the SHA-256 of the key's PKIX form in base 64, as cosign and sigstore-go write it into bundles.
func (k PublicKey) Fingerprint() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// PEM returns the key as a PEM block "PUBLIC KEY", as cosign reads it.
func (k PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der})
}

// isHinted returns whether the hint of a bundle names this key, in either of its forms.
// A bundle without a hint may be signed by any key.
func (k PublicKey) isHinted(hint string) bool {
	if hint == "" || hint == k.ID() || hint == k.Fingerprint() {
		return true
	}
	if k.Name != "" { // a key of another name
		return false
	}
	// A key in PEM may be the one that a Nix key signs for.
	named, err := trust.ParseKey(hint)
	return err == nil && PublicKey{named.Name, k.key, k.der}.ID() == hint
}

// verify returns whether signature is the key's for message.
func (k PublicKey) verify(message, signature []byte) bool {
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, sum[:], signature)
	case ed25519.PublicKey:
		if ed25519.Verify(key, message, signature) {
			return true
		}
		// cosign attest signs the hash with such a key, although cosign verify-attestation refuses that.
		sum := sha512.Sum512(message)
		return ed25519.VerifyWithOptions(key, sum[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return false
}

// checkName refuses names of Nix keys that JSON or a terminal would change.
func checkName(name string) error {
	for _, r := range name {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return errors.New("its name has a character that cannot be printed")
		}
	}
	return nil
}
