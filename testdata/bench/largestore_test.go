package main

import (
	"os"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// TestLargeObjects checks the references of a large store: each object refers to earlier ones, the last to all,
// and the revised last one has another object in the place of one of each hundred.
func TestLargeObjects(t *testing.T) {
	const count = 300
	all := largeObjects(count)
	if got, want := len(all), count-1+count/100+2; got != want {
		t.Fatalf("there are %d objects; want %d", got, want)
	}
	seen := make(map[profile.Path]bool)
	users := make(map[profile.Path]int)
	for _, o := range all {
		for _, p := range o.references {
			if !seen[p] {
				t.Errorf("%s refers to %s, which is not before it", o.path, p)
			}
			users[p]++
		}
		if seen[o.path] {
			t.Errorf("%s occurs twice", o.path)
		}
		seen[o.path] = true
	}
	first, revised := all[len(all)-2], all[len(all)-1]
	is := make(map[profile.Path]bool)
	for _, p := range first.references {
		is[p] = true
	}
	changed := 0
	for _, p := range revised.references {
		if is[p] {
			continue
		}
		if changed++; users[p] != 1 {
			t.Errorf("%d objects need %s; want 1", users[p], p)
		}
	}
	if len(first.references) != count-1 || len(revised.references) != count-1 || changed != count/100 {
		t.Errorf("the last objects refer to %d and %d objects, %d of them changed", len(first.references), len(revised.references), changed)
	}
}

// TestLargeStore makes the smallest large store, and checks that its size and hashes are always the same, and that it is mostly holes.
func TestLargeStore(t *testing.T) {
	root := t.TempDir()
	if err := largeStore(t.Context(), root, 100); err != nil {
		t.Fatal(err)
	}
	object, err := os.ReadFile(root + "/object")
	if err != nil {
		t.Fatal(err)
	}
	closure, close, err := findClosure(t.Context(), root, string(object))
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	var sum profile.Hash
	for _, info := range closure.Infos {
		for i := range sum {
			sum[i] ^= info.NarHash[i]
		}
	}
	const size, hashes = 498_923_432, "e26f2e1fea4d5fbae4475dd35456f35c92a6fe2b28849523a11947e27ab2f4cd"
	if got := closure.Size(); len(closure.Infos) != 100 || got != size || sum.Hex() != hashes {
		t.Errorf("%d objects, %d bytes, hashes %s; want 100, %d, %s", len(closure.Infos), got, sum.Hex(), size, hashes)
	}
	if err := largeStore(t.Context(), t.TempDir(), 150); err == nil {
		t.Error("a store of 150 objects has no error")
	}
}
