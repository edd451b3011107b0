package e2e

import (
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// form is a form of a store, and how to read it.
// All forms must give the same image of a closure.
type form struct {
	name  string
	flags []string
	// The following fields describe an unusual run.
	person *person
	umask  string
	stdin  func(t *testing.T) io.Reader
	noNix  bool   // run without /nix
	hidden string // run without this directory
	says   string // expected on standard error
}

// live returns the digest of an object's image from the live store.
func live(t *testing.T, object string) string {
	t.Helper()
	if lab.digests[object] == "" {
		p := lab.user
		lab.digests[object] = p.export(t, p.scratch(t), "image", "--no-cache", "--platform", "linux/amd64", "--profile", object, "oci:x")
	}
	return lab.digests[object]
}

// checkForms checks that images from all forms of one store have the same digest.
// It runs without a cache, which would return the layers from another form.
func checkForms(t *testing.T, object string, forms []form) {
	t.Helper()
	checkFormsAre(t, live(t, object), forms)
}

// checkFormsAre checks that images from all forms of one store have this digest.
func checkFormsAre(t *testing.T, want string, forms []form) {
	t.Helper()
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			p := lab.user
			if f.person != nil {
				p = *f.person
			}
			dir := p.scratch(t)
			args := slices.Concat([]string{"image", "--no-cache", "--platform", "linux/amd64"}, f.flags, []string{"oci:layout:v1"})
			cmd := p.command(dir, lab.program, args...)
			if f.noNix {
				f.hidden = "/nix"
			}
			if f.hidden != "" {
				cmd = p.without(f.hidden, dir, lab.program, args...)
			}
			if f.umask != "" {
				cmd = in("umask "+f.umask, cmd)
			}
			if f.stdin != nil {
				cmd.Stdin = f.stdin(t)
			}
			r := do(t, cmd)
			if got := strings.TrimSpace(r.stdout); got != want {
				t.Errorf("%q prints %s; want the live store's digest, %s", args, got, want)
			}
			if !strings.Contains(r.stderr, f.says) {
				t.Errorf("%v\nwant %q on standard error", r, f.says)
			}
		})
	}
	wantEmptySpool(t, lab.user)
	wantEmptySpool(t, lab.root)
}

// tool returns the path of a program that the tests need. Nix builds it from its Debian package,
// so nothing is installed on this machine, and no service is started.
func tool(t *testing.T, name string) string {
	t.Helper()
	if lab.tools == "" {
		work := filepath.Join(lab.dir, "store")
		out, err := output(exec.Command("python3", "debstore.py", filepath.Join(work, "tools"), work,
			"nginx", "bzip2", "lz4", "lzip", "xz-utils", "zstd"))
		if err != nil {
			t.Fatal(err)
		}
		lab.tools = strings.TrimSpace(out)
	}
	return filepath.Join(lab.tools, "bin", name)
}

// compressor returns a command for fast compression.
func compressor(t *testing.T, name string) []string {
	t.Helper()
	switch name {
	case "gzip":
		return []string{"gzip", "-1c"} // part of every Debian
	case "xz":
		return []string{tool(t, "xz"), "-0", "-T2", "-c"}
	case "lzip":
		return []string{tool(t, "lzip.lzip"), "-0", "-c"}
	case "bzip2", "lz4", "zstd":
		return []string{tool(t, name), "-1", "-c"}
	}
	t.Fatalf("no compressor %q", name)
	return nil
}
