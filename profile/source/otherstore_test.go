package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestGuix checks that a store of Guix is refused by name, in a tar and in directories.
func TestGuix(t *testing.T) {
	s := storetest.Tiny(t)
	registration := s.WriteRegistration(t, true)
	parent := t.TempDir()
	root := filepath.Join(parent, "root")
	if err := os.MkdirAll(filepath.Join(root, "gnu"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "gnu/store"), os.DirFS(filepath.Join(s.WriteRoot(t), "nix/store"))); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(root, "gnu/store"), link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	for _, from := range []string{
		root, root + "/gnu", root + "/gnu/store", root + "/gnu/store/", link, ".", "gnu", "gnu/store",
		tarOf(t, root), gzipped(t, tarOf(t, root)), tarOf(t, parent),
	} {
		for _, references := range []string{"", registration} {
			_, err := Open(t.Context(), []string{from}, Options{SpoolDir: t.TempDir(), References: references})
			if err == nil || !strings.Contains(err.Error(), `store directory "/gnu/store" is not supported, only /nix/store is`) {
				t.Errorf("Open(%q): %v; want an error about the store directory", from, err)
			}
		}
	}
}
