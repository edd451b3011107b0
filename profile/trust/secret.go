package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// SecretKey is a key that signs.
type SecretKey struct {
	Name    string
	private ed25519.PrivateKey
}

// ParseSecretKey parses a key as Nix writes it (nix key generate-secret, nix-store --generate-binary-cache-key):
// "name:base64", with or without white space around it. Errors do not quote text.
func ParseSecretKey(text string) (SecretKey, error) {
	name, encoded, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") {
		return SecretKey{}, errors.New("secret key: not of the form name:base64")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(encoded)
	switch {
	case err != nil || strings.ContainsAny(encoded, "\r\n"): // DecodeString skips newlines
		return SecretKey{}, fmt.Errorf("secret key %q: not base 64", name)
	case len(b) == ed25519.PublicKeySize:
		return SecretKey{}, fmt.Errorf("secret key %q: it is a public key", name)
	case len(b) != ed25519.PrivateKeySize:
		return SecretKey{}, fmt.Errorf("secret key %q: %d bytes, not %d", name, len(b), ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if !bytes.Equal(private, b) {
		return SecretKey{}, fmt.Errorf("secret key %q: its two halves do not match", name)
	}
	return SecretKey{name, private}, nil
}

// Public returns the public key.
func (k SecretKey) Public() Key {
	return Key{Name: k.Name, Public: k.private.Public().(ed25519.PublicKey)}
}

// Sign returns the signature of a message, "name:base64".
func (k SecretKey) Sign(message []byte) string {
	return k.Name + ":" + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, message))
}
