package main

import (
	"errors"
	"io/fs"

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
	const wanted = "name the file of a public key: PEM (openssl pkey -in KEY -pubout -out key.pub), or name:base64 as Nix writes it"
	switch key.Form {
	case attestation.PKCS8, attestation.EncryptedPKCS8, attestation.SEC1:
		return "write its public key: openssl pkey -in KEY -pubout -out key.pub"
	case attestation.EncryptedCosign:
		return "write its public key: cosign public-key --key KEY > key.pub"
	case attestation.NixSecretKey:
		return "write its public key: nix key convert-secret-to-public < KEY > key.pub"
	case attestation.Certificate:
		return "write its public key: openssl x509 -in CERTIFICATE -noout -pubkey > key.pub"
	case attestation.RSA, attestation.OtherCurve:
		return wanted + "; of Ed25519 or ECDSA with P-256"
	}
	return wanted
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
	case attestation.PKIXPublicKey, attestation.NixPublicKey, attestation.Certificate, attestation.OpenSSHPublicKey, attestation.JSON:
		return "name the file of the secret key"
	case attestation.PKCS8, attestation.NixSecretKey:
		return "leave out --key-password-file"
	}
	return ""
}

// hintNixKey adds a hint to an error about a file of --require-signed-by, which may be that of --key by mistake.
func hintNixKey(err error) error {
	var usage *usageError
	var unread *fs.PathError
	if errors.As(err, &usage) || errors.As(err, &unread) {
		return err
	}
	return withHint(err, "--require-signed-by wants the Nix key that signed the store paths, such as "+
		"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=, not the key of --key")
}
