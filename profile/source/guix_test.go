package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/storetest"
)

// guixRoot writes a root directory like that of a Guix System: the store, its database, and a profile of root.
func guixRoot(t *testing.T) (*storetest.Sample, string) {
	t.Helper()
	s := storetest.TinyIn(t, storeDir(t, "/gnu/store"))
	root := s.WriteRoot(t)
	s.AddDatabase(t, root)
	profiles := root + "/var/guix/profiles/per-user/root"
	if err := os.MkdirAll(profiles, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/var/guix/profiles/default", 0o755); err != nil { // of a user without a name
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"guix-profile":        "guix-profile-1-link",
		"guix-profile-1-link": string(s.PathOf("leaf")),
	} {
		if err := os.Symlink(target, filepath.Join(profiles, link)); err != nil {
			t.Fatal(err)
		}
	}
	return s, root
}

// TestGuixDatabase checks that Guix's database is found by the place of the store, also without the file of its version, as guix pack writes it.
func TestGuixDatabase(t *testing.T) {
	for _, version := range []bool{true, false} {
		s, root := guixRoot(t)
		if !version {
			if err := os.Remove(root + "/var/guix/db/schema"); err != nil {
				t.Fatal(err)
			}
		}
		for _, from := range []string{
			root, root + "/gnu", root + "/gnu/store", root + "/var/guix", tarOf(t, root), gzipped(t, tarOf(t, root)), tarOf(t, filepath.Dir(root)),
			"local?root=" + root, "local?root=" + root + "&store=/gnu/store", "local?real=" + root + "/gnu/store&root=" + root,
			"local?real=" + root + "/gnu/store&state=" + root + "/var/guix",
		} {
			store, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir(), Note: func(text string) { t.Errorf("%q: note %q", from, text) }})
			if err != nil {
				t.Errorf("Open(%q): %v", from, err)
				continue
			}
			if c, err := profile.FindClosure(t.Context(), store, s.Root); err != nil || len(c.Infos) != len(s.Infos) {
				t.Errorf("FindClosure(%q) = %v, %v; want %d objects", from, c, err, len(s.Infos))
			}
			want := s.PathOf("leaf")
			if strings.HasPrefix(from, "local?real=") {
				want = s.Root // there are no links around it
			}
			if p, err := profile.Default(t.Context(), store); err != nil || p.Path != want {
				t.Errorf("Default(%q) = %v, %v; want %q", from, p, err, want)
			}
			store.Close()
		}
	}
}

// TestGuixContradicts checks that a store and a database of two store directories are refused, wherever the database is.
func TestGuixContradicts(t *testing.T) {
	_, root := guixRoot(t)
	nix := storetest.Tiny(t)
	other := nix.WriteRoot(t)
	nix.AddDatabase(t, other)
	for _, name := range []string{"schema", "db.sqlite"} { // Nix's database in Guix's place
		copyFile(t, other+"/nix/var/nix/db/"+name, root+"/var/guix/db/"+name)
	}
	for _, from := range []string{root, root + "/gnu/store", "local?root=" + root, tarOf(t, root)} {
		store, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir()})
		var dirs *localstore.OtherDirError
		if !errors.As(err, &dirs) || !strings.Contains(err.Error(), "its database is of the store directory /nix/store, not of /gnu/store") {
			t.Errorf("Open(%q) = %v, %v; want %T", from, store, err, dirs)
		}
		if err == nil {
			store.Close()
		}
	}

	store, err := Open(t.Context(), []string{"local?store=/gnu/store&real=" + root + "/gnu/store&state=" + root + "/var/guix"}, Options{})
	var dirs *StoreDirError
	if !errors.As(err, &dirs) {
		t.Errorf("Open of local with a store of Guix and a database of Nix: %v, %v; want %T", store, err, dirs)
	}
}

// TestTwoStores checks that a root directory with objects of Nix and of Guix is refused, unless the store directory is said.
func TestTwoStores(t *testing.T) {
	guix, root := guixRoot(t)
	if err := os.MkdirAll(root+"/nix/store", 0o755); err != nil {
		t.Fatal(err)
	}
	open := func(from string, o Options) (profile.Store, error) {
		o.SpoolDir = t.TempDir()
		return Open(t.Context(), []string{from}, o)
	}
	for _, from := range []string{root, "local?root=" + root, tarOf(t, root)} {
		store, err := open(from, Options{})
		if err != nil || store.StoreDir() != guix.Dir {
			t.Errorf("Open(%q), with an empty /nix/store: %v, %v; want the store of Guix", from, store, err)
		}
	}
	nix := storetest.Tiny(t)
	copyTo(t, nix.WriteRoot(t)+"/nix/store/"+nix.Root.Base(), root+"/nix/store/"+nix.Root.Base())
	for _, from := range []string{root, "local?root=" + root, tarOf(t, root), tarOf(t, filepath.Dir(root))} {
		store, err := open(from, Options{})
		var stores *profile.StoresError
		if !errors.As(err, &stores) || !strings.Contains(err.Error(), "it has two stores, /nix/store and /gnu/store") {
			t.Errorf("Open(%q) = %v, %v; want %T", from, store, err, stores)
		}
		for _, dir := range []profile.StoreDir{{}, guix.Dir} {
			store, err := open(from, Options{StoreDir: &dir})
			if from == "local?root="+root && dir == (profile.StoreDir{}) {
				continue // Nix's store has no database there
			}
			if err != nil || store.StoreDir() != dir {
				t.Errorf("Open(%q) of %s: %v, %v", from, dir, store, err)
			}
		}
	}
}

// TestFileURL checks that ?store= after file:// names the store directory, or is refused.
func TestFileURL(t *testing.T) {
	guix, root := guixRoot(t)
	plain := filepath.Join(t.TempDir(), "plain")
	copyTo(t, root+"/gnu/store", plain)
	cache, nixCache := guix.WriteCache(t, "none"), storetest.Tiny(t).WriteCache(t, "none")
	for _, test := range []struct{ from, err string }{
		{"file://" + cache, ""},
		{"file://" + cache + "?store=/gnu/store", ""},
		{"file://" + plain + "?store=/gnu/store", ""},
		{"file://" + root + "?store=/gnu/store", ""},
		{"file://" + cache + "?store=/nix/store", `is /gnu/store, but that of ?store=/nix/store is /nix/store`},
		{"file://" + nixCache + "?store=/gnu/store", `is /nix/store, but that of ?store=/gnu/store is /gnu/store`},
		{"file://" + cache + "?store=gnu", `store directory "gnu": want an absolute path`},
	} {
		store, err := Open(t.Context(), []string{test.from}, Options{})
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("Open(%q) = %v; want an error with %q", test.from, err, test.err)
			continue
		}
		if err != nil {
			continue
		}
		if c, err := profile.FindClosure(t.Context(), store, guix.Root); err != nil || c.StoreDir != guix.Dir {
			t.Errorf("FindClosure(%q) = %v, %v; want %s", test.from, c, err, guix.Dir)
		}
		store.Close()
	}
}

// TestTarElsewhere checks what says the store directory of a tar whose store is at no known place: its database or the user.
// Files that name another one are an error, and a note says what is taken if nothing does.
func TestTarElsewhere(t *testing.T) {
	opt := storeDir(t, "/opt/nix/store")
	s := storetest.TinyIn(t, opt)
	root := s.WriteRoot(t)
	plain := tarOf(t, root)
	s.AddDatabase(t, root)
	if err := os.MkdirAll(root+"/opt/nix/var/nix/profiles", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(string(s.Root), root+"/opt/nix/var/nix/profiles/default"); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{tarOf(t, root), tarOf(t, root+"/opt/nix"), tarOf(t, filepath.Dir(root))} {
		store, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir()})
		if err != nil || store.StoreDir() != opt {
			t.Errorf("Open(%q) = %v, %v; want %s", from, store, err, opt)
			continue
		}
		if p, err := profile.Default(t.Context(), store); err != nil || p.Path != s.Root {
			t.Errorf("Default = %v, %v; want %s", p, err, s.Root)
		}
		if c, err := profile.FindClosure(t.Context(), store, s.Root); err != nil || len(c.Infos) != len(s.Infos) {
			t.Errorf("FindClosure = %v, %v; want %d objects", c, err, len(s.Infos))
		}
		store.Close()
		if store, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir(), StoreDir: &profile.StoreDir{}}); err == nil || !strings.Contains(err.Error(), "is /opt/nix/store, but that of --store-dir is /nix/store") {
			t.Errorf("Open(%q) with /nix/store = %v, %v; want an error", from, store, err)
		}
	}
	var notes []string
	store, err := Open(t.Context(), []string{plain}, Options{SpoolDir: t.TempDir(), Note: func(text string) { notes = append(notes, text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if len(notes) != 2 || !strings.Contains(notes[0], "has its store objects in /opt/nix/store, but the store directory is taken to be /nix/store") {
		t.Errorf("notes %q; want one about the place", notes)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
