package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestBadStatement checks the errors of verify --key for what it cannot read: then there is no verdict.
func TestBadStatement(t *testing.T) {
	secret, public := signingKey(t, "example.com-1")
	text := readFile(t, secret)
	files := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for i := 0; i < len(names); i += 2 {
				writeFile(t, filepath.Join(dir, names[i]), names[i+1])
			}
			do(t, lab.user.command(dir, lab.program, "image", "--quiet", "--no-cache", "--from", exportFile(t, dash(t)), "oci:x"))
		}
	}
	good := files("key.pub", readFile(t, public))
	verify := func(flags ...string) []string { return append([]string{"verify", "oci:x"}, flags...) }
	for _, m := range []mistake{
		{name: "key missing", args: verify("--key", "key.pub"), err: `read keys: open key\.pub: no such file`, hint: `openssl pkey -in key\.pem -pubout`},
		{name: "key empty", prepare: files("key.pub", ""), args: verify("--key", "key.pub"), err: `read keys "key\.pub": public key: there is none$`},
		{name: "key secret", prepare: files("key", text), args: verify("--key", "key"), err: `read keys "key": public key: it is a secret key$`, hint: `nix key convert-secret-to-public`},
		{name: "key itself", status: 2, args: verify("--key", strings.TrimSpace(text)), err: `--key: want the name of a file, not the key itself$`, hint: `--key - < key\.pub`},
		{name: "key without end", args: verify("--key", "/dev/zero"), err: `read keys "/dev/zero": public key: it has more than`},
		{name: "attestations missing", prepare: good, args: verify("--key", "key.pub", "--attestation-file", "gone"), err: `read attestations: open gone: no such file`},
		{name: "attestations without end", prepare: good, args: verify("--key", "key.pub", "--attestation-file", "/dev/zero"), err: `read attestations "/dev/zero": line 1: it has more than`},
		{name: "attestations a directory", prepare: good, args: verify("--key", "key.pub", "--attestation-file", "x"), err: `read attestations "x": .*is a directory`},
		{name: "no key", status: 2, prepare: good, args: verify("--require-signed-by", "key.pub"), err: `--require-signed-by: want --key, too$`, hint: `--key key\.pub`},
		{name: "required key empty", status: 2, prepare: files("key.pub", readFile(t, public), "none", "\n"), args: verify("--key", "key.pub", "--require-signed-by", "none"),
			err: `--require-signed-by "none": there is no key in it$`},
		{name: "pattern", status: 2, prepare: good, args: verify("--key", "key.pub", "--allow-missing", "["), err: `--allow-missing "\[": not a name or pattern$`, hint: `'\*-example'`},
		{name: "standard input twice", status: 2, prepare: good, args: verify("--key", "-", "--attestation-file", "-"), err: `standard input can be only one of`, hint: "as files"},
	} {
		if m.status == 0 {
			m.status = 1
		}
		m.check(t)
	}
}

// TestStatementOfRealImage checks that an image of real packages is complete and signed as Nix signs, and that verify says which package is not.
func TestStatementOfRealImage(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	secret, public := signingKey(t, "example.com-1")
	maker, makerPublic := signingKey(t, "maker-1")
	for name, from := range map[string]string{"maker": maker, "maker.pub": makerPublic, "nix.pub": public} {
		writeFile(t, filepath.Join(dir, name), readFile(t, from))
	}
	cache := filepath.Join(dir, "cache")
	do(t, nix("nix", "--extra-experimental-features", "nix-command", "copy", "--to", "file://"+cache+"?secret-key="+secret, lab.object))
	closure := closureOf(t, lab.object)
	image := func(name string, flags ...string) {
		t.Helper()
		do(t, p.command(dir, lab.program, append([]string{"image", "--quiet", "--no-cache", "--from", cache, "--no-check-sigs", "--profile", lab.object,
			"--attest", "maker", "oci:" + name}, flags...)...))
	}
	verify := func(status int, want string, args ...string) {
		t.Helper()
		r := try(t, p.command(dir, lab.program, append([]string{"verify", "--key", "maker.pub"}, args...)...))
		if r.status() != status || !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("%v\nwant exit status %d and %s", r, status, want)
		}
	}
	image("whole:v1")
	all := fmt.Sprintf("%d store paths, all accounted for", len(closure))
	verify(0, all, "oci:whole:v1")
	verify(0, fmt.Sprintf("%s; %d signed by example.com-1:", all, len(closure)), "--require-signed-by", "nix.pub", "oci:whole:v1")
	verify(3, fmt.Sprintf("%d problems", len(closure)), "--require-signed-by", "maker.pub", "oci:whole:v1")

	// Without its libc, the image is no longer complete.
	libc := closure[slices.IndexFunc(closure, func(name string) bool { return strings.Contains(name, "-libc6-") })]
	image("part:v1", "--allow-store-changes", "--whiteout", libc)
	verify(3, `mentions "`+filepath.Base(libc)+`", which the statement does not list`, "oci:part:v1")
	verify(0, fmt.Sprintf("%d store paths, all accounted for", len(closure)-1), "--allow-missing", "*-libc6-*", "oci:part:v1")
}
