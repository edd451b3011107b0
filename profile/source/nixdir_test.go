package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// TestNixDirectory checks that a copy of /nix is read with its database, whatever its name and whichever part of it is named.
func TestNixDirectory(t *testing.T) {
	s := storetest.Knot(t)
	root := s.WriteRoot(t)
	s.AddDatabase(t, root)
	link := filepath.Join(root, "nix/var/nix/profiles/default")
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("default-1-link", link), os.Symlink(string(s.Root), link+"-1-link")); err != nil {
		t.Fatal(err)
	}
	volume := filepath.Join(t.TempDir(), "volume")
	copyTo(t, filepath.Join(root, "nix"), volume)
	toNix := filepath.Join(t.TempDir(), "nix")
	if err := os.Symlink(volume, toNix); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := errors.Join(os.Rename(filepath.Join(copyOf(t, volume), "store"), elsewhere+"/objects"),
		os.Rename(filepath.Join(copyOf(t, volume), "var/nix"), elsewhere+"/state")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		from string
		link bool // has the profile's link
	}{
		{root + "/nix", true}, {root + "/nix/", true}, {root + "/nix/var/nix", true},
		{volume, true}, {volume + "/store", true}, {volume + "/var/nix", true}, {toNix, true},
		{tarOf(t, root), true}, {tarOf(t, volume), true}, {tarOf(t, filepath.Dir(volume)), true},
		{"local?root=" + root, true},
		{"local?real=" + root + "/nix/store&state=" + volume + "/var/nix", false},
		{"local?store=/nix/store&real=" + elsewhere + "/objects&state=" + elsewhere + "/state", false},
	} {
		t.Run(strings.ReplaceAll(test.from, "/", "_"), func(t *testing.T) {
			o := Options{SpoolDir: t.TempDir(), Note: func(text string) { t.Errorf("note %q; want none", text) }}
			store, err := Open(t.Context(), []string{test.from}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			storetest.Test(t, store, s)
			if !test.link {
				return
			}
			for _, name := range []string{"/nix/var/nix/profiles/default", "/nix/../nix/var/nix/profiles/../profiles/default"} {
				if p, err := profile.Resolve(t.Context(), store, name); err != nil || p.Path != s.Root {
					t.Errorf("Resolve(%q) = %v, %v; want %q", name, p, err, s.Root)
				}
			}
		})
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	copyTo(t, dir, to)
	return to
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-R", "-P", from, to).CombinedOutput(); err != nil { // os.CopyFS refuses absolute links
		t.Fatalf("cp: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = staging.RemoveAll(to) }) // read-only directories
}

// TestNixDirectoryWithoutDatabase checks that a copy of /nix without its database is scanned,
// and that a damaged object is an error if there is one.
func TestNixDirectoryWithoutDatabase(t *testing.T) {
	s := storetest.Tiny(t)
	for _, from := range []string{s.WriteRoot(t) + "/nix", copyOf(t, s.WriteRoot(t)+"/nix")} {
		noted := ""
		store, err := Open(t.Context(), []string{from}, Options{Note: func(text string) { noted += text }})
		if err != nil {
			t.Errorf("Open(%q): %v", from, err)
			continue
		}
		defer store.Close()
		if _, err := store.Info(t.Context(), s.Root); err != nil || !strings.Contains(noted, "scanning") {
			t.Errorf("Info in %q: %v, with the note %q; want metadata from a scan", from, err, noted)
		}
	}
}

// TestLocalRefuses checks the errors for parts of a store that are missing, and for unknown settings.
func TestLocalRefuses(t *testing.T) {
	s := storetest.Tiny(t)
	root := s.WriteRoot(t)
	s.AddDatabase(t, root)
	state := filepath.Join(t.TempDir(), "state")
	copyTo(t, root+"/nix/var/nix", state)
	for _, test := range []struct{ from, err string }{
		{state, "it is Nix's state directory, without a store"},
		{"local?real=" + root + "/gone", "no such file or directory"},
		{"local?real=" + root + "/nix/store&state=" + root, "no store database in "},
		{"local?root=" + root + "&secret=1", `setting "secret" in its URL is not supported`},
		{"local?store=gnu", `store directory "gnu": want an absolute path`},
		{"local?root=%zz", "are not valid"},
	} {
		store, err := Open(t.Context(), []string{test.from}, Options{})
		if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("Open(%q) = %v, %v; want an error with %q", test.from, store, err, test.err)
		}
	}
	if _, err := Open(t.Context(), []string{"local?real=" + root + "/nix/store&state=" + root}, Options{}); !errors.Is(err, localstore.ErrNoDatabase) {
		t.Errorf("Open without a database: %v; want %v", err, localstore.ErrNoDatabase)
	}
}
