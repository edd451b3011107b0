package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"strings"
	"unicode"
)

// KeyError reports that a key is refused. It does not quote the key.
type KeyError struct {
	Secret bool    // whether a secret key is wanted, not a public one
	Form   KeyForm // what it is instead, if it is a key that another program can convert, or what needs no password; or ""
	Reason string
}

func (e *KeyError) Error() string {
	if e.Secret {
		return secretKey + ": " + e.Reason
	}
	return publicKey + ": " + e.Reason
}

const (
	publicKey = "public key"
	secretKey = "secret key"
)

// KeyForm is a form of a key or certificate.
type KeyForm string

const (
	UnknownForm     KeyForm = ""
	PKIXPublicKey   KeyForm = "PUBLIC KEY"
	NixPublicKey    KeyForm = "Nix public key"
	NixSecretKey    KeyForm = "Nix secret key"
	PKCS8           KeyForm = "PRIVATE KEY"
	EncryptedPKCS8  KeyForm = "ENCRYPTED PRIVATE KEY"
	EncryptedCosign KeyForm = "ENCRYPTED SIGSTORE PRIVATE KEY" // or "ENCRYPTED COSIGN PRIVATE KEY"
	SEC1            KeyForm = "EC PRIVATE KEY"                 // RFC 5915, as openssl ecparam -genkey writes it
	OpenSSH         KeyForm = "OPENSSH PRIVATE KEY"
	RSA             KeyForm = "RSA"
	OtherCurve      KeyForm = "other curve"
	Certificate     KeyForm = "CERTIFICATE"

	OpenSSHPublicKey KeyForm = "OpenSSH public key"
	JSON             KeyForm = "JSON" // such as a bundle
)

// describe says what a key is.
func (f KeyForm) describe() string {
	switch f {
	case PKIXPublicKey, NixPublicKey:
		return "it is a public key"
	case PKCS8, NixSecretKey:
		return "it is a secret key"
	case EncryptedPKCS8, EncryptedCosign:
		return "it is an encrypted secret key"
	case SEC1:
		return "it is a secret key in the old form of SEC 1, not PKCS #8"
	case OpenSSH:
		return "it is a secret key of OpenSSH"
	case RSA:
		return "it is an RSA key"
	case OtherCurve:
		return "it is for another curve than P-256"
	case Certificate:
		return "it is a certificate"
	case OpenSSHPublicKey:
		return "it is a public key of OpenSSH"
	case JSON:
		return "it is JSON, not a key"
	}
	return "it is of an unknown kind"
}

// formOfBlock returns the form that a PEM block's label names.
func formOfBlock(block *pem.Block) KeyForm {
	switch block.Type {
	case "ENCRYPTED COSIGN PRIVATE KEY":
		return EncryptedCosign
	case "EC PARAMETERS":
		return SEC1
	case "RSA PRIVATE KEY", "RSA PUBLIC KEY":
		return RSA
	case "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return Certificate
	}
	switch f := KeyForm(block.Type); f {
	case PKIXPublicKey, PKCS8, EncryptedPKCS8, EncryptedCosign, SEC1, OpenSSH, Certificate:
		return f
	}
	return UnknownForm
}

// formOfText returns the form of a text without PEM that is no key in Nix's form.
func formOfText(text string) KeyForm {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return JSON
	}
	for _, algorithm := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"} { // as in authorized_keys(5)
		if strings.HasPrefix(text, algorithm) {
			return OpenSSHPublicKey
		}
	}
	return UnknownForm
}

// formOfKey returns the form of a key of an algorithm that is not supported.
func formOfKey(key crypto.PublicKey) KeyForm {
	switch key.(type) {
	case *rsa.PublicKey, *rsa.PrivateKey:
		return RSA
	case *ecdsa.PublicKey, *ecdsa.PrivateKey:
		return OtherCurve
	case ed25519.PublicKey, ed25519.PrivateKey:
		return UnknownForm
	}
	return UnknownForm
}

const pemBegin = "-----BEGIN "

// isPEM returns whether text holds PEM.
func isPEM(text []byte) bool { return bytes.Contains(text, []byte(pemBegin)) }

// nextBlock returns the PEM block with which text begins, and the rest.
// pem.Decode skips text that it does not understand, even whole blocks;
// nextBlock refuses a block that is not encoded as Go encodes it, apart from white space.
func nextBlock(text []byte) (block *pem.Block, rest []byte, err error) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte(pemBegin)) {
		return nil, nil, errors.New("there is text outside of the PEM blocks")
	}
	block, rest = pem.Decode(text)
	if block == nil {
		return nil, nil, errors.New("the PEM block is damaged or not whole")
	}
	if unspaced(pem.EncodeToMemory(block)) != unspaced(text[:len(text)-len(rest)]) {
		return nil, nil, errors.New("the PEM block is damaged")
	}
	return block, rest, nil
}

// unspaced removes white space.
func unspaced(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, string(b))
}
