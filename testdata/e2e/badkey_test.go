package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadKey checks the errors for unusable keys of attestations. They are found before anything else is read, and never shown.
func TestBadKey(t *testing.T) {
	secret, public := signingKey(t, "example.com-1")
	text := strings.TrimSpace(readFile(t, secret))
	key := func(content string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, "key")
			writeFile(t, name, content)
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	good := key(text, 0o644)
	image := []string{"image", "--from", "nothing", "--attest", "key", "oci:x"}
	unwritable := func(t *testing.T, dir string) {
		good(t, dir)
		if err := os.Mkdir(filepath.Join(dir, "theirs"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []mistake{
		{name: "missing", args: image, err: `read key: open key: no such file`, hint: `openssl genpkey -algorithm ed25519`},
		{name: "unreadable", prepare: key(text, 0), args: image, err: `read key: open key: permission denied`, hint: `permission to read`},
		{name: "directory", prepare: func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "key"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, args: image, err: `read key "key": .*is a directory`},
		{name: "empty", prepare: key("", 0o644), args: image, err: `read key "key": secret key: `},
		{name: "device without end", args: []string{"image", "--from", "nothing", "--attest", "/dev/zero", "oci:x"}, err: `read key "/dev/zero": secret key: it has more than`},
		{name: "public", prepare: key(readFile(t, public), 0o644), args: image, err: `it is a public key`, hint: `file of the secret key`},
		{name: "cut", prepare: key(text[:len(text)/2], 0o644), args: image, err: `read key "key": secret key: `},
		{name: "cut by a byte", prepare: key(text[:len(text)-1], 0o644), args: image, err: `read key "key": secret key: `},
		{name: "itself", status: 2, args: []string{"image", "--from", "nothing", "--attest", text, "oci:x"},
			err: `--attest: want the name of a file, not the key itself$`, hint: `--attest - < key`},
		{name: "no password", status: 2, prepare: good, args: append([]string{"image", "--key-password-file", "none"}, image[1:]...),
			err: `--key-password-file: there is no such file$`, hint: `password\.txt`},
		{name: "of attest", prepare: key(readFile(t, public), 0o644), args: []string{"attest", "--key", "key", "oci:x"}, err: `it is a public key`, hint: `file of the secret key`},
		{name: "unwritable attestation", prepare: unwritable,
			args: []string{"image", "--from", exportFile(t, dash(t)), "--attest", "key", "--attestation-file", "theirs/a", "oci:x"},
			err:  `write "theirs/a": permission denied`, hint: `may write`},
	} {
		if m.status == 0 {
			m.status = 1
		}
		m.check(t)
	}
}
