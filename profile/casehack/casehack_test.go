package casehack

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

var originals = []struct{ name, original string }{
	{"eterm~nix~case~hack~1", "eterm"},
	{"a~nix~case~hack~12", "a"},
	{".x.~nix~case~hack~3", ".x."},
	{"eterm", ""},
	{"eterm~nix~case~hack~", ""},
	{"eterm~nix~case~hack~1a", ""},
	{"eterm~nix~case~hack~-1", ""},
	{"~nix~case~hack~1", ""},
	{"a~nix~case~hack~1~nix~case~hack~2", ""},
	{"eterm~NIX~case~hack~1", ""},
	{"", ""},
}

func TestOriginal(t *testing.T) {
	for _, test := range originals {
		if got, changed := Original(test.name); got != test.original || changed != (test.original != "") {
			t.Errorf("Original(%q) = %q, %v; want %q, %v", test.name, got, changed, test.original, test.original != "")
		}
	}
}

// FuzzOriginal checks that an original name is what precedes the suffix, and is never itself a changed name.
func FuzzOriginal(f *testing.F) {
	for _, test := range originals {
		f.Add(test.name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		original, changed := Original(name)
		if !changed {
			return
		}
		if original == "" || !strings.HasPrefix(name, original+suffix) {
			t.Errorf("Original(%q) = %q; want what precedes the suffix", name, original)
		}
		if again, changed := Original(original); changed {
			t.Errorf("Original(%q) = %q, and Original of that is %q", name, original, again)
		}
	})
}

// TestRestore checks when names are restored, and that a note says so once.
func TestRestore(t *testing.T) {
	s := storetest.New("names")
	p := s.Add(t, "p", "", "d .", "f 0444 a x")
	info, err := s.Info(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	tree := s.Files(t.Context(), p)
	twice := func(yield func(rootfs.Entry, error) bool) {
		for e := range tree {
			for range 2 {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
	for _, test := range []struct {
		name  string
		hash  profile.Hash
		tree  rootfs.Tree
		want  bool
		notes string
	}{
		{"the hash fits", info.NarHash, tree, true, `restoring "a" from "a~nix~case~hack~1", and other such names`},
		{"the hash does not fit", profile.Hash{1}, tree, false, ""},
		{"without a hash", profile.Hash{}, tree, true, "such names; no hash confirms it"},
		{"equal names, without a hash", profile.Hash{}, twice, false, ""},
	} {
		var notes []string
		r := &Restorer{Hash: func(profile.Path) profile.Hash { return test.hash }, Note: func(text string) { notes = append(notes, text) }}
		for range 2 {
			if got, err := r.Restore(t.Context(), p, "a~nix~case~hack~1", test.tree); got != test.want || err != nil {
				t.Errorf("%s: Restore() = %v, %v; want %v, <nil>", test.name, got, err, test.want)
			}
		}
		if got := strings.Join(notes, "\n"); !strings.HasSuffix(got, test.notes) || (got == "") != (test.notes == "") {
			t.Errorf("%s: notes %q; want one that ends in %q", test.name, got, test.notes)
		}
	}
	var none *Restorer
	if got, err := none.Restore(t.Context(), p, "a~nix~case~hack~1", tree); got || err != nil {
		t.Errorf("Restore of a nil Restorer = %v, %v; want false, <nil>", got, err)
	}
}

// TestRestoreCancelled checks that a cancelled decision is made again.
func TestRestoreCancelled(t *testing.T) {
	s := storetest.New("names")
	p := s.Add(t, "p", "", "d .")
	r := new(Restorer)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Restore(ctx, p, "x", s.Files(ctx, p)); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore, cancelled: %v; want %v", err, context.Canceled)
	}
	if got, err := r.Restore(t.Context(), p, "x", s.Files(t.Context(), p)); !got || err != nil {
		t.Errorf("Restore after a cancelled one = %v, %v; want true, <nil>", got, err)
	}
}
