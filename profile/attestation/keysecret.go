package attestation

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile/trust"
)

// SecretKey is a key that signs: ECDSA with P-256, or Ed25519.
type SecretKey struct {
	public PublicKey
	// sign signs a message. The same message makes the same signature.
	sign func(message []byte) ([]byte, error)
}

// ParseSecretKey parses a file of one secret key:
//
//   - PEM "PRIVATE KEY" (PKCS #8, RFC 5958) of an ECDSA key with P-256 or an Ed25519 key (RFC 8410);
//   - PEM "ENCRYPTED SIGSTORE PRIVATE KEY" or "ENCRYPTED COSIGN PRIVATE KEY": such a key, encrypted with
//     scrypt and NaCl's secretbox, as cosign generate-key-pair writes it;
//   - a secret key as Nix writes it, "name:base64", see [trust.ParseSecretKey].
//
// The password is for an encrypted key, and only for one: nil means that there is none, which is [ErrPassword]; it may be empty.
// ParseSecretKey refuses other keys with a [KeyError]. Errors do not quote text.
func ParseSecretKey(text, password []byte) (*SecretKey, error) {
	if len(text) > MaxKeys {
		return nil, &KeyError{Secret: true, Reason: fmt.Sprintf("it has more than %d bytes", MaxKeys)}
	}
	if !isPEM(text) {
		k, err := parseNixSecret(text)
		if err == nil && password != nil {
			return nil, needlessPassword(NixSecretKey)
		}
		return k, err
	}
	block, rest, err := nextBlock(text)
	if err != nil {
		return nil, &KeyError{Secret: true, Reason: err.Error()}
	}
	switch form := formOfBlock(block); {
	case form != PKCS8 && form != EncryptedCosign:
		return nil, &KeyError{Secret: true, Form: form, Reason: form.describe()}
	case len(block.Headers) > 0:
		return nil, &KeyError{Secret: true, Reason: "the PEM block has headers"}
	case isPEM(rest):
		return nil, &KeyError{Secret: true, Reason: "there are several PEM blocks"}
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, &KeyError{Secret: true, Reason: "there is text outside of the PEM block"}
	case form == EncryptedCosign:
		der, err := decrypt(block.Bytes, password)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", secretKey, err)
		}
		return parsePKCS8(der)
	}
	k, err := parsePKCS8(block.Bytes)
	if err == nil && password != nil {
		return nil, needlessPassword(PKCS8)
	}
	return k, err
}

// needlessPassword is the error for a password of a key that has none: its owner believes that the key is encrypted.
func needlessPassword(form KeyForm) error {
	return &KeyError{Secret: true, Form: form, Reason: "it is not encrypted, but a password is given"}
}

// parseNixSecret parses a key in Nix's form.
func parseNixSecret(text []byte) (*SecretKey, error) {
	key, err := trust.ParseSecretKey(string(text))
	if err != nil {
		if len(bytes.TrimSpace(text)) == 0 {
			return nil, &KeyError{Secret: true, Reason: "it is empty"}
		}
		form := formOfText(string(text))
		if form != UnknownForm {
			return nil, &KeyError{Secret: true, Form: form, Reason: form.describe()}
		}
		if keys, public := trust.ParseKeys(string(text)); public == nil && len(keys) > 0 {
			form = NixPublicKey
		}
		return nil, &KeyError{Secret: true, Form: form, Reason: withoutKind(err, secretKey)}
	}
	public, err := newPublicKey(key.Public().Public)
	if err == nil {
		err = checkName(key.Name)
	}
	if err != nil {
		return nil, &KeyError{Secret: true, Reason: err.Error()}
	}
	public.Name = key.Name
	return &SecretKey{public, func(message []byte) ([]byte, error) {
		_, signature, _ := strings.Cut(key.Sign(message), ":")
		return base64.StdEncoding.DecodeString(signature)
	}}, nil
}

// Public returns the public key.
func (k *SecretKey) Public() PublicKey { return k.public }
