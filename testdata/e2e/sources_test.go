package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

// TestSources checks forms of a store that are close to the live store.
func TestSources(t *testing.T) {
	relocated, copied, optimised := relocate(t, lab.object), nixCopy(t, lab.object), optimise(t, nixCopy(t, lab.object))
	checkForms(t, lab.object, []form{
		{name: "live, as root", flags: []string{"--profile", lab.profile}, person: &lab.root},
		{name: "live, umask 000", flags: []string{"--profile", lab.profile}, umask: "000"},
		{name: "live, umask 077", flags: []string{"--profile", lab.profile}, umask: "077"},
		{name: "live, verified", flags: []string{"--profile", lab.object, "--verify-store"}},
		{name: "live, by base name", flags: []string{"--profile", filepath.Base(lab.object)}},
		{name: "relocated", flags: []string{"--from", relocated}},
		{name: "relocated, no Nix", flags: []string{"--from", relocated}, noNix: true},
		{name: "relocated, as root", flags: []string{"--from", relocated}, person: &lab.root},
		{name: "optimised", flags: []string{"--from", optimised, "--profile", lab.object}},
		{name: "nix copy", flags: []string{"--from", copied, "--profile", lab.object}},
	})
}

// isCacheFile reports whether a path in the cache belongs there, and is not a temporary file.
func isCacheFile(path string) bool { return cacheFile.MatchString(path) }

var cacheFile = regexp.MustCompile(`^(CACHEDIR\.TAG|trimmed` +
	`|facts(/[0-9a-f]{64}\.[a-z0-9-]+)?` +
	`|narinfo(/[0-9a-f]{32}(/[0-9a-z]{32}\.narinfo)?)?` +
	`|layers-1(/trimmed|/(parts|blobs)(/[0-9a-f]{64})?|/packed(/[0-9a-f]{64}\.[a-z0-9:]+)?)?)$`)

// wantEmptySpool checks that runs of the person left no temporary files in the cache.
func wantEmptySpool(t *testing.T, p person) {
	t.Helper()
	spool := filepath.Join(p.home, ".cache/export-profile")
	if _, err := os.Stat(spool); err != nil {
		return
	}
	if left := slices.DeleteFunc(names(t, spool), isCacheFile); len(left) > 0 {
		t.Errorf("%q contains %q; want nothing", spool, left)
	}
}

// relocate copies a store object's closure and the database to another root, like a backup.
// The object becomes the default profile there.
func relocate(t *testing.T, object string) string {
	t.Helper()
	root := lab.root.scratch(t)
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"nix/store", "nix/var/nix/db", "nix/var/nix/profiles"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	do(t, exec.Command("cp", append(append([]string{"-a", "--reflink=auto"}, closure...), filepath.Join(root, "nix/store"))...))
	for _, name := range []string{"db.sqlite", "schema"} {
		do(t, exec.Command("cp", "-a", "/nix/var/nix/db/"+name, filepath.Join(root, "nix/var/nix/db")))
	}
	if err := os.Symlink(object, filepath.Join(root, "nix/var/nix/profiles/default")); err != nil {
		t.Fatal(err)
	}
	return root
}

// nixCopy makes Nix copy a store object's closure to another root.
func nixCopy(t *testing.T, object string) string {
	t.Helper()
	root := lab.root.scratch(t)
	do(t, nix("nix", "copy", "--no-check-sigs", "--to", root, object))
	return root
}

// optimise makes Nix hard-link equal files in another root.
func optimise(t *testing.T, root string) string {
	t.Helper()
	do(t, nix("nix-store", "--optimise", "--store", root))
	if !hasHardLinks(t, filepath.Join(root, "nix/store")) {
		t.Fatal("nix-store --optimise made no hard links, so the test would prove nothing")
	}
	return root
}

func hasHardLinks(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil && fi.Sys().(*syscall.Stat_t).Nlink > 1 {
			found = true
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
