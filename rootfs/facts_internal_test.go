package rootfs

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFactsShared checks that a fact that Tell received on one machine comes back from Ask on another,
// and that a damaged fact does not.
func TestFactsShared(t *testing.T) {
	key := "sha256:" + strings.Repeat("ab", 32)
	received := make(map[string][]byte)
	tell := func(name string, b []byte) { received[name] = b }
	one := &Facts{Dir: filepath.Join(t.TempDir(), "one"), Tell: tell}
	one.Keep("kind", key, []byte("fact"))
	name := strings.Repeat("ab", 32) + ".kind"
	if got := slices.Collect(maps.Keys(received)); len(got) != 1 || got[0] != name {
		t.Fatalf("Tell received %q; want %q", got, name)
	}
	shared := received[name]

	clear(received)
	if got := one.Load("kind", key); string(got) != "fact" || !bytes.Equal(received[name], shared) {
		t.Errorf("Load = %q, and Tell received %d facts; want the fact", got, len(received))
	}

	clear(received)
	calls := 0
	two := &Facts{Dir: filepath.Join(t.TempDir(), "two"), Tell: tell, Ask: func(n string) []byte {
		calls++
		if n != name {
			t.Errorf("Ask(%q); want Ask(%q)", n, name)
		}
		return shared
	}}
	for range 2 {
		if got := two.Load("kind", key); string(got) != "fact" {
			t.Errorf("Load = %q; want the fact of the other machine", got)
		}
	}
	if b, err := os.ReadFile(filepath.Join(two.Dir, name)); calls != 1 || err != nil || !bytes.Equal(b, shared) {
		t.Errorf("%d calls of Ask, and the file is %q, %v; want one call, and the same bytes", calls, b, err)
	}

	for name, b := range map[string][]byte{
		"nothing": nil, "empty": {}, "cut": shared[:len(shared)-1], "longer": append(slices.Clone(shared), 0),
		"changed": append(slices.Clone(shared[:len(shared)-1]), shared[len(shared)-1]^1),
		"version": append([]byte("x"), shared[1:]...),
	} {
		f := &Facts{Dir: filepath.Join(t.TempDir(), "facts"), Tell: tell, Ask: func(string) []byte { return b }}
		if got := f.Load("kind", key); got != nil || exists(f.Dir) {
			t.Errorf("%s: Load = %q, and a file was written: %v; want neither", name, got, exists(f.Dir))
		}
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// FuzzDecodeListing checks that a listing that decodes survives encoding and decoding again.
func FuzzDecodeListing(f *testing.F) {
	l := NewEntryMap("r")
	for _, e := range []Entry{Dir("r", 0o555), Link("r/a", "b"), File("r/b", 0o444, 300, nil)} {
		l.Set(e)
	}
	f.Add(encodeListing(l))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := NewView(nil, nil).decodeListing("r", b)
		if err != nil {
			return
		}
		again, err := NewView(nil, nil).decodeListing("r", encodeListing(l))
		if err != nil {
			t.Fatalf("decodeListing(%q) again: %v", b, err)
		}
		if want, got := slices.Collect(l.All()), slices.Collect(again.All()); !cmp.Equal(want, got) {
			t.Errorf("decodeListing(%q) = %v; again %v", b, want, got)
		}
	})
}
