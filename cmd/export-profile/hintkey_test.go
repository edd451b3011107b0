package main

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/profile/attestation"
)

// TestHintKey checks what to type for the keys that are refused.
func TestHintKey(t *testing.T) {
	a, err := txtar.ParseFile("../../profile/attestation/testdata/keys.txtar")
	if err != nil {
		t.Fatal(err)
	}
	hints := map[string]struct{ secret, public string }{ // the first word or words of each
		"ec.pem":              {"", "write its public key: openssl pkey -in"},
		"ec.pub":              {"name the file of the secret key", ""},
		"openssh.pub":         {"name the file of the secret key", "name the file of a public key: PEM (openssl pkey -in"},
		"nix.sec":             {"", "write its public key: nix key convert-secret-to-public"},
		"nix.pub":             {"name the file of the secret key", ""},
		"cosign3.key":         {"name a file that holds its password with --key-password-file", "write its public key: cosign public-key --key"},
		"sec1.pem":            {"convert it: openssl pkcs8 -topk8 -nocrypt", "write its public key: openssl pkey -in"},
		"sec1-encrypted.pem":  {"convert it: openssl pkcs8 -topk8 -nocrypt", "write its public key: openssl pkey -in"},
		"pkcs8-encrypted.pem": {"decrypt it: openssl pkcs8 -in", "write its public key: openssl pkey -in"},
		"rsa.pem":             {"make another key: openssl genpkey -algorithm ed25519", "write its public key: openssl pkey -in"},
		"rsa.pub":             {"name the file of the secret key", "name the file of a public key: PEM (openssl pkey -in"},
		"p384.pem":            {"make another key: openssl genpkey -algorithm ed25519", "write its public key: openssl pkey -in"},
		"openssh.pem":         {"make another key: openssl genpkey -algorithm ed25519", "name the file of a public key: PEM (openssl pkey -in"},
		"certificate.pem":     {"name the file of the secret key", "write its public key: openssl x509 -in"},
		"x25519.pem":          {"", "write its public key: openssl pkey -in"},
	}
	for _, f := range a.Files {
		want, ok := hints[f.Name]
		if !ok {
			continue
		}
		delete(hints, f.Name)
		_, secret := attestation.ParseSecretKey(f.Data, nil)
		_, public := attestation.ParseKeys(f.Data)
		if got := hint(secret); !strings.HasPrefix(got, want.secret) || (got == "") != (want.secret == "") {
			t.Errorf("hint(%v) for %s = %q; want %q…", secret, f.Name, got, want.secret)
		}
		if got := hint(public); !strings.HasPrefix(got, want.public) || (got == "") != (want.public == "") {
			t.Errorf("hint(%v) for %s = %q; want %q…", public, f.Name, got, want.public)
		}
	}
	for name := range hints {
		t.Errorf("keys.txtar lacks %s", name)
	}
}
