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
func TestNixDirectoryOfOther(t *testing.T) {
	opt := storeDir(t, "/opt/nix/store")
	s := storetest.TinyIn(t, opt)
	root := s.WriteRoot(t)
	s.AddDatabase(t, root)
	volume := filepath.Join(t.TempDir(), "volume")
	copyTo(t, filepath.Join(root, "opt/nix"), volume)
	for _, from := range []string{root + "/opt/nix", root + "/opt/nix/store", root + "/opt/nix/var/nix", volume, volume + "/store",
		"local?store=/opt/nix/store&root=" + root} {
		var forms []Form
		o := Options{SpoolDir: t.TempDir(), Opened: func(_ string, f Form) { forms = append(forms, f) }}
		store, err := Open(t.Context(), []string{from}, o)
		if err != nil {
			t.Errorf("Open(%q): %v", from, err)
			continue
		}
		if c, err := profile.FindClosure(t.Context(), store, s.Root); err != nil || c.StoreDir != opt || len(c.Infos) != len(s.Infos) || len(forms) != 1 {
			t.Errorf("%q: %v, %v, forms %v; want %d objects in %s, and one form", from, c, err, forms, len(s.Infos), opt)
		}
		store.Close()
	}
}
