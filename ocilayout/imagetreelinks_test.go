package ocilayout

import (
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// TestTreeThroughLinks checks that an object that its layer changes through a link has no hash.
func TestTreeThroughLinks(t *testing.T) {
	o := part("nix/store/o", rootfs.Dir("nix/store/o", 0o555), rootfs.Dir("nix/store/o/a", 0o555), file("nix/store/o/a/f", "GOOD"))
	whole := []string{"d nix/store/o", "d nix/store/o/a", "f nix/store/o/a/f GOOD"}
	for _, tt := range []struct {
		name   string
		layers [][]string
		same   bool
	}{
		{"as it is", [][]string{whole}, true},
		{"a link beside it", [][]string{append(whole[:3:3], "l x -> nix/store/o/a", "f y EVIL")}, true},
		{"to a directory", [][]string{append(whole[:3:3], "l x -> nix/store/o/a", "f x/f EVIL")}, false},
		{"the same again", [][]string{append(whole[:3:3], "l x -> nix/store/o/a", "f nix/store/p GOOD", "h x/f -> nix/store/p")}, true},
		{"of the layer below", [][]string{{"l x -> nix/store/o/a"}, append(whole[:3:3], "f x/f EVIL")}, false},
		{"to the store", [][]string{append(whole[:3:3], "l x -> nix/store", "f x/o/a/f EVIL")}, false},
		{"to the root", [][]string{append(whole[:3:3], "l x -> .", "f x/nix/store/o/a/f EVIL")}, false},
		{"out of another object", [][]string{append(whole[:3:3], "d nix/store/p", "l nix/store/p/x -> ../o/a", "f nix/store/p/x/f EVIL")}, false},
		{"a hard link", [][]string{{"f nix/store/x GOOD", "d nix/store/o", "d nix/store/o/a", "h nix/store/o/a/f -> nix/store/x"}}, true},
		{"a hard link to what is replaced before", [][]string{{"f nix/store/x EVIL", "f nix/store/x GOOD", "d nix/store/o", "d nix/store/o/a",
			"h nix/store/o/a/f -> nix/store/x"}}, true},
		{"a hard link to what is replaced after", [][]string{{"f nix/store/x EVIL", "d nix/store/o", "d nix/store/o/a",
			"h nix/store/o/a/f -> nix/store/x", "f nix/store/x GOOD"}}, false},
		{"a hard link through a link", [][]string{{"d x", "d y", "f x/f GOOD", "l x -> y", "f y/f EVIL", "d nix/store/o", "d nix/store/o/a",
			"h nix/store/o/a/f -> x/f"}}, false},
		{"a hard link to one, through a link", [][]string{{"f nix/store/g GOOD", "d nix/store/x", "d nix/store/y", "h nix/store/x/b -> nix/store/g",
			"l nix/store/x -> y", "f nix/store/y/b EVIL", "d nix/store/o", "d nix/store/o/a", "h nix/store/o/a/f -> nix/store/x/b"}}, false},
		{"one file more", [][]string{append(whole[:3:3], "l x -> nix/store/o/a", "f x/g EVIL")}, false},
	} {
		_, tree, err := readTree(t, TreeOptions{Hash: partHash}, tt.layers...)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, h := range tree.VisibleObjects() {
			if h.Name == "o" && h.Hash != "" && !tt.same {
				t.Errorf("%s: VisibleObjects says that it has the hash %s", tt.name, h.Hash)
			}
		}
		same, there, err := tree.has(o)
		if same != tt.same || !there || err != nil {
			t.Errorf("%s: has = %v, %v, %v; want %v, true, <nil>", tt.name, same, there, err, tt.same)
		}
	}
}
