package attestation

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// parseSecret parses a secret key without a password.
func parseSecret(t testing.TB, text []byte) *SecretKey {
	t.Helper()
	k, err := ParseSecretKey(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const wrongPassword = "it cannot be decrypted: the password is wrong, or the key is damaged"

// secretCases are files of secret keys.
var secretCases = []struct {
	text     string // "{name}" is replaced by a file of testdata/keys.txtar
	password string // "-" for none
	id       string
	form     KeyForm
	err      string
}{
	{text: "{ec.pem}", password: "-", id: ecID},
	{text: "\n {ec.pem}\n\n", password: "-", id: ecID},
	{text: "{ec.pem}", password: "not needed", form: PKCS8, err: "it is not encrypted, but a password is given"},
	{text: "{nix.sec}", form: NixSecretKey, err: "it is not encrypted, but a password is given"},
	{text: "{ed.pem}", password: "-", id: edID},
	{text: "{nix.sec}", password: "-", id: nixID},
	{text: " {nix.sec}\n", password: "-", id: nixID},
	{text: "{cosign3.key}", password: "correct-horse", id: cosign3ID},
	{text: "{cosign2.key}", password: "pw", id: cosign2ID},
	{text: "{cosign-ed.key}", password: "pw", id: edID},
	{text: "{cosign-empty.key}", id: emptyID},
	{text: "{cosign-rsa.key}", password: "pw", form: RSA, err: "it is an RSA key, not ECDSA or Ed25519"},
	{text: "", password: "-", err: "it is empty"},
	{text: "\n", password: "-", err: "it is empty"},
	{text: "some words", password: "-", err: "not of the form name:base64"},
	{text: `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`, password: "-", form: JSON, err: "it is JSON, not a key"},
	{text: "{nix.sec}{nix.sec}", password: "-", err: `"example.com-1": not base 64`},
	{text: "{nix.pub}", password: "-", form: NixPublicKey, err: `"example.com-1": it is a public key`},
	{text: "zero:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", password: "-", err: `"zero": not base 64`},
	{text: "{ec.pub}", password: "-", form: PKIXPublicKey, err: "it is a public key"},
	{text: "{certificate.pem}", password: "-", form: Certificate, err: "it is a certificate"},
	{text: "{sec1.pem}", password: "-", form: SEC1, err: "it is a secret key in the old form of SEC 1, not PKCS #8"},
	{text: "{sec1-encrypted.pem}", password: "-", form: SEC1, err: "it is a secret key in the old form of SEC 1, not PKCS #8"},
	{text: "{pkcs8-encrypted.pem}", password: "x", form: EncryptedPKCS8, err: "it is an encrypted secret key"},
	{text: "{openssh.pem}", password: "-", form: OpenSSH, err: "it is a secret key of OpenSSH"},
	{text: "{openssh.pub}", password: "-", form: OpenSSHPublicKey, err: "it is a public key of OpenSSH"},
	{text: "{rsa.pem}", password: "-", form: RSA, err: "it is an RSA key, not ECDSA or Ed25519"},
	{text: "{rsa-pkcs1.pem}", password: "-", form: RSA, err: "it is an RSA key"},
	{text: "{p384.pem}", password: "-", form: OtherCurve, err: "it is for another curve than P-256"},
	{text: "{secp256k1.pem}", password: "-", form: OtherCurve, err: "it is for another curve than P-256"},
	{text: "{explicit.pem}", password: "-", form: OtherCurve, err: "it does not name its curve, which should be P-256"},
	{text: "{ed448.pem}", password: "-", err: "it is of an unknown kind, not ECDSA or Ed25519"},
	{text: "{x25519.pem}", password: "-", err: "it is of an unknown kind, not ECDSA or Ed25519"},
	{text: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", password: "-", err: "the PEM block is damaged"},
	{text: "{ec.pem}{ed.pem}", password: "-", err: "there are several PEM blocks"},
	{text: "{ec.pem}{ec.pub}", password: "-", err: "there are several PEM blocks"},
	{text: "{ec.pem}rest", password: "-", err: "there is text outside of the PEM block"},
	{text: "{ec.pem}{nix.sec}", password: "-", err: "there is text outside of the PEM block"},
	{text: "before {ec.pem}", password: "-", err: "there is text outside of the PEM blocks"},
	{text: "-----BEGIN PRIVATE KEY-----\nAAAA\n{ec.pem}", password: "-", err: "the PEM block is damaged"},
	{text: "-----BEGIN PRIVATE KEY-----\nA: b\n\nAAAA\n-----END PRIVATE KEY-----", password: "-", err: "the PEM block has headers"},
	{text: strings.Repeat(" ", MaxKeys) + "{ec.pem}", password: "-", err: "it has more than 1048576 bytes"},
}

func TestParseSecretKey(t *testing.T) {
	t.Parallel() // scrypt takes most of its time
	files := testKeys(t)
	for _, test := range secretCases {
		password := []byte(test.password)
		if test.password == "-" {
			password = nil
		}
		k, err := ParseSecretKey(fill(files, test.text), password)
		call := fmt.Sprintf("ParseSecretKey(%q)", test.text[:min(len(test.text), 60)])
		if test.err == "" && (err != nil || k.Public().ID() != test.id) {
			t.Errorf("%s = %v, %v; want key %s", call, k, err, test.id)
			continue
		}
		checkKeyError(t, call, err, true, test.form, test.err)
	}
}

// TestEncryptedKeys checks that an encrypted key needs its password, and that a damaged key cannot take much memory.
func TestEncryptedKeys(t *testing.T) {
	t.Parallel()
	files := testKeys(t)
	for _, name := range []string{"cosign2.key", "cosign3.key", "cosign-empty.key"} {
		if k, err := ParseSecretKey(files[name], nil); !errors.Is(err, ErrPassword) {
			t.Errorf("ParseSecretKey(%s) without a password = %v, %v; want ErrPassword", name, k, err)
		}
	}
	old := strings.ReplaceAll(string(files["cosign2.key"]), "SIGSTORE", "COSIGN")
	if k, err := ParseSecretKey([]byte(old), []byte("pw")); err != nil || k.Public().ID() != cosign2ID {
		t.Errorf("ParseSecretKey of a key of an old cosign = %v, %v; want key %s", k, err, cosign2ID)
	}
	block, _ := pem.Decode(files["cosign2.key"])
	for name, change := range map[string]func(kdf, cipher, all map[string]any){
		"much memory":      func(kdf, _, _ map[string]any) { kdf["params"].(map[string]any)["N"] = 1 << 40 },
		"much time":        func(kdf, _, _ map[string]any) { kdf["params"].(map[string]any)["p"] = 1 << 29 },
		"no strength":      func(kdf, _, _ map[string]any) { kdf["params"].(map[string]any)["N"] = 2 },
		"another function": func(kdf, _, _ map[string]any) { kdf["name"] = "pbkdf2" },
		"another cipher":   func(_, cipher, _ map[string]any) { cipher["name"] = "none" },
		"a short nonce":    func(_, cipher, _ map[string]any) { cipher["nonce"] = "AAAA" },
		"another salt":     func(kdf, _, _ map[string]any) { kdf["salt"] = "AAAA" },
		"no ciphertext":    func(_, _, all map[string]any) { all["ciphertext"] = "" },
		"no JSON":          nil,
	} {
		content := []byte(base64.StdEncoding.EncodeToString(block.Bytes))
		if change != nil {
			var all map[string]any
			if err := json.Unmarshal(block.Bytes, &all); err != nil {
				t.Fatal(err)
			}
			change(all["kdf"].(map[string]any), all["cipher"].(map[string]any), all)
			var err error
			if content, err = json.Marshal(all); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		k, err := ParseSecretKey(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: content}), []byte("pw"))
		if err == nil || err.Error() != "secret key: "+wrongPassword {
			t.Errorf("ParseSecretKey with %s = %v, %v; want %q", name, k, err, wrongPassword)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("ParseSecretKey with %s took %v", name, took)
		}
	}
	if k, err := ParseSecretKey(files["cosign3.key"], []byte("correct-horse\n")); err == nil || err.Error() != "secret key: "+wrongPassword {
		t.Errorf("ParseSecretKey with a wrong password = %v, %v; want %q", k, err, wrongPassword)
	}
}

// TestKeyErrorsAreSilent checks that no error quotes a line of a key.
func TestKeyErrorsAreSilent(t *testing.T) {
	t.Parallel()
	for name, text := range testKeys(t) {
		for _, damaged := range [][]byte{text, text[:len(text)-20], append(text[:40:40], text[41:]...), append(text[:len(text):len(text)], "x:"...)} {
			_, err := ParseSecretKey(damaged, []byte("pw"))
			_, other := ParseKeys(damaged)
			for line := range strings.Lines(string(damaged)) {
				line = strings.TrimSpace(line)
				if _, secret, ok := strings.Cut(line, ":"); ok { // the name of a Nix key may be quoted
					line = secret
				}
				for _, err := range []error{err, other} {
					if len(line) > 8 && err != nil && strings.Contains(err.Error(), line[:8]) {
						t.Errorf("the error about %s quotes it: %v", name, err)
					}
				}
			}
		}
	}
}

func FuzzParseSecretKey(f *testing.F) {
	files := testKeys(f)
	for _, test := range secretCases {
		if len(test.text) < 1000 {
			f.Add(fill(files, test.text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseSecretKey(text, nil)
		if (k == nil) == (err == nil) {
			t.Fatalf("ParseSecretKey(%q) = %v, %v", text, k, err)
		}
		if err != nil {
			return
		}
		signed, err := k.Sign([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := ReadBundle(signed)
		if err != nil {
			t.Fatalf("ReadBundle(%s) = %v", signed, err)
		}
		if _, err := b.Verify(Keys{k.Public()}); err != nil {
			t.Errorf("Verify(%s) = %v", signed, err)
		}
	})
}
