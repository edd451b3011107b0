package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/source"
)

// TestHintElsewhere checks the hint for a profile in another store directory, on a machine without /nix/store.
func TestHintElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("NIX_PROFILE", "")
	const object = "/opt/nix/store/00000000000000000000000000000001-profile"
	for name, target := range map[string]string{
		"direct": object + "/share", "profile": "profile-1-link", "profile-1-link": object, ".nix-profile": dir + "/profile",
		"round": "round", "out": "/etc",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	gone := fmt.Errorf("open store %q: %w", "/", localstore.ErrNoDatabase)
	for _, test := range []struct {
		profiles, from []string
		err            error
		want           bool
	}{
		{[]string{dir + "/direct"}, nil, gone, true},
		{[]string{dir + "/profile"}, nil, gone, true},
		{[]string{dir + "/out", dir + "/profile"}, nil, gone, true},
		{[]string{object}, nil, gone, true},
		{nil, nil, gone, true},
		{[]string{dir + "/round"}, nil, gone, false},
		{[]string{dir + "/out"}, nil, gone, false},
		{[]string{dir + "/missing"}, nil, gone, false},
		{[]string{dir + "/profile"}, []string{"cache"}, gone, false},
		{[]string{dir + "/profile"}, nil, errors.New("another error"), false},
	} {
		f := closureFlags{profiles: test.profiles}
		f.from = test.from
		name := dir + "/.nix-profile"
		if n := len(test.profiles); n > 0 {
			name = test.profiles[n-1]
		}
		want := fmt.Sprintf("%q leads to a store path in /opt/nix/store: say --store-dir /opt/nix/store", name)
		if got := hint(f.hintElsewhere(test.err)); (got == want) != test.want {
			t.Errorf("hint for %q, %q after %v: %q; want %q: %t", test.profiles, test.from, test.err, got, want, test.want)
		}
	}
	f := closureFlags{profiles: []string{object}}
	f.storeDir = "/opt/nix/store"
	if got, want := hint(f.hintElsewhere(gone)), hint(gone); got != want {
		t.Errorf("hint with --store-dir: %q; want %q", got, want)
	}
}

// TestHintInside checks the hint for a root directory whose store is not in nix/store.
func TestHintInside(t *testing.T) {
	for place, want := range map[string]string{
		"opt/nix":         "a store is in opt/nix/store in it: say --store-dir /opt/nix/store if its store paths begin with that",
		"nix2":            "a store is in nix2/store in it: say --store-dir /nix2/store if its store paths begin with that",
		"home/me/.nix":    "a store is in home/me/.nix/store in it: say --store-dir /home/me/.nix/store if its store paths begin with that",
		"home/me/a/b/c":   "", // too deep to search
		"etc/nix":         "", // no place for a store
		"opt/a name/nix2": "",
	} {
		root := t.TempDir()
		for _, dir := range []string{"store", "var/nix/db"} {
			if err := os.MkdirAll(filepath.Join(root, place, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, place, "var/nix/db/db.sqlite"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := source.Open(t.Context(), []string{root}, source.Options{})
		f := sourceFlags{from: []string{root}}
		if got := hint(f.hintOpen(t.Context(), err)); err == nil || got != want {
			t.Errorf("%q: %v, hint %q; want %q", place, err, got, want)
		}
	}
}
