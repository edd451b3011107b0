package main

import (
	"errors"

	"github.com/export-profile/export-profile/profile/attestation"
)

// hintKey says what to do about a key that is refused, or "".
func hintKey(err error) string {
	var key *attestation.KeyError
	switch {
	case errors.Is(err, attestation.ErrPassword):
		return "name a file that holds its password with --key-password-file FILE"
	case !errors.As(err, &key):
		return ""
	case key.Secret:
		return hintSecretKey(key.Form)
	}
	switch key.Form {
	case attestation.PKCS8, attestation.EncryptedPKCS8, attestation.SEC1:
		return "write its public key: openssl pkey -in KEY -pubout -out key.pub"
	case attestation.EncryptedCosign:
		return "write its public key: cosign public-key --key KEY > key.pub"
	case attestation.NixSecretKey:
		return "write its public key: nix key convert-secret-to-public < KEY > key.pub"
	case attestation.Certificate:
		return "write its public key: openssl x509 -in CERTIFICATE -noout -pubkey > key.pub"
	}
	return ""
}

// hintSecretKey is hintKey for a file that should hold a secret key.
func hintSecretKey(form attestation.KeyForm) string {
	switch form {
	case attestation.SEC1:
		return "convert it: openssl pkcs8 -topk8 -nocrypt -in KEY -out key.pem"
	case attestation.EncryptedPKCS8:
		return "decrypt it: openssl pkcs8 -in KEY -out key.pem"
	case attestation.RSA, attestation.OtherCurve, attestation.OpenSSH:
		return "make another key: openssl genpkey -algorithm ed25519 -out key.pem"
	case attestation.PKIXPublicKey, attestation.NixPublicKey, attestation.Certificate:
		return "name the file of the secret key"
	}
	return ""
}
