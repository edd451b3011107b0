package source

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
)

// hackedStore returns a root directory with a sample, written as Nix does for a file system that ignores case.
func hackedStore(t *testing.T, s *storetest.Sample, p profile.Path, changed ...string) string {
	t.Helper()
	root := s.WriteRoot(t)
	for _, name := range changed {
		name = filepath.Join(root, p.Root(), name)
		makeWritable(t, filepath.Dir(name))
		if fi, err := os.Stat(name); err == nil && fi.IsDir() {
			makeWritable(t, name)
		}
		if err := os.Rename(name, name+"~nix~case~hack~1"); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func makeWritable(t *testing.T, name string) {
	t.Helper()
	if err := os.Chmod(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

// tarOf writes a tar of a directory, and returns its name.
func tarOf(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tar")
	if out, err := exec.Command("tar", "-C", dir, "-cf", name, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return name
}

// macForms returns the arguments of Open for each form of a store that a file system can have changed.
func macForms(t *testing.T, s *storetest.Sample, root string) map[string]func(*Options) string {
	t.Helper()
	registration, graph := s.WriteRegistration(t, true), s.WriteRegistration(t, false)
	withDatabase := filepath.Join(t.TempDir(), "root")
	if err := os.CopyFS(withDatabase, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	s.AddDatabase(t, withDatabase)
	in := func(from, references string) func(*Options) string {
		return func(o *Options) string { o.References = references; return from }
	}
	return map[string]func(*Options) string{
		"database":                     in(withDatabase, ""),
		"references":                   in(root, registration),
		"references without hashes":    in(root, graph),
		"scan":                         in(root, ""),
		"objects, references":          in(filepath.Join(root, "nix/store/."), registration),
		"objects, scan":                in(filepath.Join(root, "nix/store/."), ""),
		"tar, database":                in(tarOf(t, withDatabase), ""),
		"tar, references":              in(tarOf(t, root), registration),
		"tar, scan":                    in(tarOf(t, root), ""),
		"tar of objects, without hash": in(tarOf(t, filepath.Join(root, "nix/store")), graph),
	}
}

// TestAppleDouble checks that a file that macOS has added to a store is named,
// in an error if the hash is known, and else in a note.
func TestAppleDouble(t *testing.T) {
	s := storetest.New("mac")
	p := s.Add(t, "mac", "", "d .", "d bin", "f 0555 bin/x x", "f 0444 bin/._y y")
	root := s.WriteRoot(t)
	double := filepath.Join(root, p.Root(), "bin/._x")
	makeWritable(t, filepath.Dir(double))
	outside := filepath.Join(root, "nix/store/._"+p.Base())
	for _, name := range []string{double, outside} {
		if err := os.WriteFile(name, []byte(nar.AppleDoubleMagic+"and more"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for name, form := range macForms(t, s, root) {
		var notes []string
		o := Options{SpoolDir: t.TempDir(), Note: func(text string) { notes = append(notes, text) }}
		store, err := Open(t.Context(), []string{form(&o)}, o)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, err = storetest.List(store.Files(t.Context(), p))
		switch {
		case withoutHash(name):
			if all := strings.Join(notes, "\n"); err != nil || strings.Count(all, "as tar on macOS adds") != 1 {
				t.Errorf("%s: Files: %v, notes %q; want one about a file of macOS", name, err, notes)
			}
		default:
			if err == nil || !strings.Contains(err.Error(), `bin/._x", as tar on macOS adds`) {
				t.Errorf("%s: Files: %v; want an error that names the file of macOS", name, err)
			}
		}
	}
}

func withoutHash(form string) bool {
	return strings.Contains(form, "scan") || strings.Contains(form, "without hash")
}

// TestCaseHack checks that names that Nix changed for a file system that ignores case are restored in every form, with a note.
func TestCaseHack(t *testing.T) {
	s := storetest.New("terminfo")
	p := s.Add(t, "terminfo", "", "d .", "f 0444 Eterm a", "f 0444 eterm b", "f 0444 eterm-x c", "f 0444 eterm~ d",
		"d Share", "f 0444 Share/a e", "d share", "f 0555 share/B f", "l share/b ../Eterm")
	root := hackedStore(t, s, p, "share/b", "share", "eterm")
	for name, form := range macForms(t, s, root) {
		t.Run(name, func(t *testing.T) {
			var notes []string
			o := Options{SpoolDir: t.TempDir(), Note: func(text string) { notes = append(notes, text) }}
			store, err := Open(t.Context(), []string{form(&o)}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			storetest.Test(t, store, s)
			all := strings.Join(notes, "\n")
			if got := strings.Count(all, "was written for a file system that ignores case"); got != 1 {
				t.Errorf("notes %q; want one about names", notes)
			}
			if got, want := strings.Contains(all, "no hash confirms it"), withoutHash(name); got != want {
				t.Errorf("notes %q say that no hash confirms the names: %v; want %v", notes, got, want)
			}
		})
	}
}

// TestCaseHackByItself checks that names that only look changed stay, if a hash says so or if they would be equal otherwise.
func TestCaseHackByItself(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines []string
		hash  bool // only the hash tells
	}{
		{"looks changed", []string{"d .", "f 0444 a~nix~case~hack~1 x"}, true},
		{"would be equal", []string{"d .", "f 0444 a x", "f 0444 a~nix~case~hack~1 x"}, false},
	} {
		s := storetest.New("test")
		s.Add(t, "test", "", test.lines...)
		for name, form := range macForms(t, s, s.WriteRoot(t)) {
			if test.hash && withoutHash(name) {
				continue
			}
			t.Run(test.name+"/"+name, func(t *testing.T) {
				o := Options{SpoolDir: t.TempDir(), Note: func(text string) {
					if strings.Contains(text, "ignores case") {
						t.Errorf("note %q; want none about names", text)
					}
				}}
				store, err := Open(t.Context(), []string{form(&o)}, o)
				if err != nil {
					t.Fatal(err)
				}
				defer store.Close()
				storetest.Test(t, store, s)
			})
		}
	}
}

// TestCaseHackDamaged checks that an object with changed names is still checked.
func TestCaseHackDamaged(t *testing.T) {
	s := storetest.New("terminfo")
	p := s.Add(t, "terminfo", "", "d .", "f 0444 Eterm a", "f 0444 eterm b")
	root := hackedStore(t, s, p, "eterm")
	name := filepath.Join(root, p.Root(), "Eterm")
	makeWritable(t, name)
	if err := errors.Join(os.WriteFile(name, []byte("z"), 0o444), os.Chmod(name, 0o444)); err != nil {
		t.Fatal(err)
	}
	for name, form := range macForms(t, s, root) {
		if withoutHash(name) {
			continue
		}
		o := Options{SpoolDir: t.TempDir()}
		store, err := Open(t.Context(), []string{form(&o)}, o)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		var hash *nar.HashError
		if _, err := storetest.List(store.Files(t.Context(), p)); !errors.As(err, &hash) {
			t.Errorf("%s: Files of a damaged object: %v; want a HashError", name, err)
		}
	}
}
