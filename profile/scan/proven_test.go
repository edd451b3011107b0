package scan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// TestChangedSinceScanned checks that listing files notices a change since the scan,
// and that rootfs.Facts then remembers nothing under the old hash.
func TestChangedSinceScanned(t *testing.T) {
	dir := t.TempDir()
	p := profile.Path("/nix/store/00000000000000000000000000000000-a")
	bin := filepath.Join(dir, p.Base(), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "good"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	facts := &rootfs.Facts{Dir: t.TempDir()}
	names := func(between func()) ([]string, error) {
		files, err := localstore.OpenObjects(dir, localstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Overlay(files, []profile.Path{p}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		c, err := profile.FindClosure(t.Context(), s, p)
		if err != nil {
			t.Fatal(err)
		}
		between()
		seq, err := rootfs.NewView(c.Parts(t.Context()), facts).Names(p.Root() + "/bin")
		var names []string
		if err == nil {
			for name := range seq {
				names = append(names, name)
			}
		}
		return names, err
	}
	rename := func(from, to string) func() {
		return func() {
			if err := os.Rename(filepath.Join(bin, from), filepath.Join(bin, to)); err != nil {
				t.Fatal(err)
			}
		}
	}

	var changed *nar.HashError
	if got, err := names(rename("good", "EVIL")); !errors.As(err, &changed) {
		t.Errorf("Names() of a changed object = %q, %v; want a HashError", got, err)
	}
	rename("EVIL", "good")()
	if got, err := names(func() {}); err != nil || len(got) != 1 || got[0] != "good" {
		t.Errorf("Names() = %q, %v; want %q, <nil>", got, err, "good")
	}
}

// maybePrivate is a store with a method Private.
type maybePrivate struct {
	*bareStore
	is bool
}

func (p maybePrivate) Private() bool { return p.is }

func TestProven(t *testing.T) {
	b, paths := golden(t)
	for _, test := range []struct {
		store profile.Store
		want  bool
	}{
		{b, false},
		{maybePrivate{b, false}, false},
		{maybePrivate{b, true}, true},
	} {
		s, err := Overlay(test.store, paths, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.(profile.Prover).Proven(paths[0]); got != test.want {
			t.Errorf("Proven(%q) in a %T = %v; want %v", paths[0], test.store, got, test.want)
		}
	}
}
