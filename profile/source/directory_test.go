package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// TestObjectCalledNarinfo checks that an object may have a name that ends in .narinfo,
// and that the order of a directory's entries does not matter.
func TestObjectCalledNarinfo(t *testing.T) {
	const (
		object = "00000000000000000000000000000000-foo.narinfo"
		info   = "00000000000000000000000000000001.narinfo"
	)
	for _, names := range [][]string{{object}, {object, info}, {info, object}} {
		dir := t.TempDir()
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(t.Context(), []string{dir}, Options{})
		if err != nil {
			t.Errorf("Open of %q: %v", names, err)
			continue
		}
		defer s.Close()
		if _, err := s.Info(t.Context(), profile.Path("/nix/store/"+object)); err != nil {
			t.Errorf("Info(%q) in a directory of %q: %v", object, names, err)
		}
	}
}
