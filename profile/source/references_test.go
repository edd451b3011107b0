package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestClosureInfo checks that a directory of closureInfo is read like its registration.
func TestClosureInfo(t *testing.T) {
	s := storetest.Tiny(t)
	dir := filepath.Dir(s.WriteRegistration(t, true))
	if err := os.WriteFile(filepath.Join(dir, "store-paths"), []byte(s.Root+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "result")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, references := range []string{dir, link} {
		store, err := Open(t.Context(), []string{s.WriteRoot(t)}, Options{References: references})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		storetest.Test(t, store, s)
	}
	var format *ReferencesError
	if _, err := Open(t.Context(), []string{dir}, Options{References: filepath.Join(dir, "store-paths")}); !errors.As(err, &format) || !strings.Contains(err.Error(), "a list of store paths") {
		t.Errorf("Open with a list of store paths as references: %v; want a ReferencesError", err)
	}
	if _, err := Open(t.Context(), []string{dir}, Options{References: t.TempDir()}); !errors.As(err, &format) || !strings.Contains(err.Error(), "a directory without registration") {
		t.Errorf("Open with another directory as references: %v; want a ReferencesError", err)
	}
}

// TestUnlisted checks that FindClosure tells what the references lack from what the store lacks.
func TestUnlisted(t *testing.T) {
	s := storetest.New("two")
	a := s.Add(t, "a", "", "f 0444 . a")
	b := s.Add(t, "b", "a", "f 0444 . b")
	part := storetest.New("part")
	part.Add(t, "b", "a", "f 0444 . b")
	for name, from := range map[string][]string{"one source": {s.WriteRoot(t)}, "two sources": {s.WriteRoot(t), s.WriteTar(t)}} {
		store, err := Open(t.Context(), from, Options{References: part.WriteRegistration(t, true)})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		_, err = profile.FindClosure(t.Context(), store, b)
		var closure *profile.ClosureError
		if !errors.As(err, &closure) || !errors.Is(err, profile.ErrUnlisted) || len(closure.Unlisted) != 1 || closure.Unlisted[0].Path != a ||
			!strings.Contains(err.Error(), "1 not in the references: "+a.Base()) {
			t.Errorf("%s: FindClosure with part of the references: %v; want that %q is not in them", name, err, a)
		}
	}
}
