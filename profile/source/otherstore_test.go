package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

func storeDir(t *testing.T, name string) profile.StoreDir {
	t.Helper()
	dir, err := rootfs.ParseStoreDir(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestGuix checks that a store of Guix is recognised by its place, in a tar and in directories.
func TestGuix(t *testing.T) {
	guix := storeDir(t, "/gnu/store")
	s := storetest.TinyIn(t, guix)
	registration := s.WriteRegistration(t, true)
	root := s.WriteRoot(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(root, "gnu/store"), link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	for _, from := range []string{
		root, root + "/gnu", root + "/gnu/store", root + "/gnu/store/", link, ".", "gnu", "gnu/store",
		tarOf(t, root), gzipped(t, tarOf(t, root)), tarOf(t, filepath.Dir(root)),
	} {
		for _, references := range []string{"", registration} {
			store, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir(), References: references})
			if err != nil {
				t.Errorf("Open(%q) with references %q: %v", from, references, err)
				continue
			}
			if c, err := profile.FindClosure(t.Context(), store, s.Root); err != nil || c.StoreDir != guix || len(c.Infos) != len(s.Infos) {
				t.Errorf("FindClosure(%q) = %v, %v; want %d objects in %s", from, c, err, len(s.Infos), guix)
			}
			store.Close()
		}
	}
}

// TestStoreDirs checks the error for sources and options that do not agree on the store directory.
func TestStoreDirs(t *testing.T) {
	guix, opt := storeDir(t, "/gnu/store"), storeDir(t, "/opt/nix/store")
	nix, other := storetest.Tiny(t), storetest.TinyIn(t, guix)
	for _, test := range []struct {
		from []string
		o    Options
		want string
	}{
		{[]string{nix.WriteExport(t), other.WriteExport(t)}, Options{}, "is /gnu/store, but that of "},
		{[]string{other.WriteCache(t, "none"), nix.WriteRoot(t)}, Options{}, "is /nix/store, but that of "},
		{[]string{other.WriteExport(t)}, Options{StoreDir: &profile.StoreDir{}}, "is /gnu/store, but that of --store-dir is /nix/store"},
		{[]string{nix.WriteExport(t)}, Options{StoreDir: &opt}, "is /nix/store, but that of --store-dir is /opt/nix/store"},
		{[]string{nix.WriteDatabase(t)}, Options{StoreDir: &opt}, "is /nix/store, but that of --store-dir is /opt/nix/store"},
		{[]string{tarOf(t, nix.WriteDatabase(t))}, Options{StoreDir: &opt}, "is /nix/store, but that of --store-dir is /opt/nix/store"},
		{[]string{nix.WriteExport(t)}, Options{References: other.WriteRegistration(t, true)}, "is /nix/store, but that of --references is /gnu/store"},
		{[]string{nix.WriteCache(t, "none")}, Options{References: other.WritePathInfo(t)}, "is /nix/store, but that of --references is /gnu/store"},
	} {
		store, err := Open(t.Context(), test.from, test.o)
		var dirs *StoreDirError
		if !errors.As(err, &dirs) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%q) = %v; want an error with %q", test.from, err, test.want)
		}
		if err == nil {
			store.Close()
		}
	}
}

// TestNixDirectoryOfOther checks that the database says the store directory of a copy of /nix, also of one that is named nix.
// Nix itself puts its files into nix of another root, whatever its store directory is.
func TestNixDirectoryOfOther(t *testing.T) {
	for _, name := range []string{"/opt/nix/store", "/opt/store", "/home/me/.local/packages"} {
		s := storetest.TinyIn(t, storeDir(t, name))
		root := s.WriteRoot(t)
		s.AddDatabase(t, root)
		addProfile(t, root, s)
		around := filepath.Dir(filepath.Join(root, name))
		volume, copied := filepath.Join(t.TempDir(), "volume"), filepath.Join(t.TempDir(), "there/copied")
		if err := os.MkdirAll(copied, 0o755); err != nil {
			t.Fatal(err)
		}
		copyTo(t, around, volume)
		copyTo(t, around, copied+"/nix")
		sources := []string{"local?store=" + name + "&root=" + root}
		if filepath.Base(name) == "store" {
			sources = append(sources, around, around+"/store", around+"/var/nix", volume, volume+"/store", tarOf(t, root), tarOf(t, filepath.Dir(root)), tarOf(t, around), tarOf(t, volume))
		} else if err := os.Rename(filepath.Join(copied, "nix", filepath.Base(name)), copied+"/nix/store"); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, copied, copied+"/nix", copied+"/nix/store", copied+"/nix/var/nix", tarOf(t, copied), tarOf(t, filepath.Dir(copied)),
			"local?store="+name+"&root="+copied)
		for _, from := range sources {
			for _, said := range []*profile.StoreDir{nil, &s.Dir} {
				checkProfileOf(t, s, from, said)
			}
		}
	}
}

// addProfile adds a default profile to a root directory.
func addProfile(t *testing.T, root string, s *storetest.Sample) {
	t.Helper()
	dir := filepath.Join(root, profile.StateDir(s.Dir), "profiles")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Symlink("default-1-link", dir+"/default"), os.Symlink(string(s.Root), dir+"/default-1-link")); err != nil {
		t.Fatal(err)
	}
}

// checkProfileOf checks that a source has the objects of a sample, their references without a scan, and the default profile.
func checkProfileOf(t *testing.T, s *storetest.Sample, from string, said *profile.StoreDir) {
	t.Helper()
	var forms []Form
	noted := ""
	o := Options{SpoolDir: t.TempDir(), StoreDir: said, Opened: func(_ string, f Form) { forms = append(forms, f) }, Note: func(text string) { noted += text }}
	store, err := Open(t.Context(), []string{from}, o)
	if err != nil {
		t.Errorf("Open(%q) of %s (said %v): %v", from, s.Dir, said, err)
		return
	}
	defer store.Close()
	c, err := profile.FindClosure(t.Context(), store, s.Root)
	if err != nil || c.StoreDir != s.Dir || len(c.Infos) != len(s.Infos) || len(forms) != 1 || noted != "" {
		t.Errorf("%q (said %v): %v, %v, forms %v, note %q; want %d objects in %s, one form, and no note", from, said, c, err, forms, noted, len(s.Infos), s.Dir)
	}
	if _, ok := store.(profile.Linker); !ok {
		return
	}
	if p, err := profile.Default(t.Context(), store); err != nil || p.Path != s.Root || !strings.HasSuffix(p.Name, "/profiles/default") {
		t.Errorf("Default(%q) (said %v) = %v, %v; want %q by its link", from, said, p, err, s.Root)
	}
}
