package rootfs_test

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

var factLines = []string{
	"d 0555 nix/store/p",
	"d 0555 nix/store/p/bin",
	"l nix/store/p/bin/lost -> /nix/store/z/prog",
	"l nix/store/p/bin/prog -> /nix/store/q/prog",
	"d 0555 nix/store/p/etc",
	`f 0444 "nix/store/p/etc/odd\xff\n" x`,
	"d 0555 nix/store/q",
	`f 0555 nix/store/q/prog "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"`,
	"d 0555 nix/store/r",
}

// TestFactsRoot: a listing is of a key, wherever its part lies.
func TestFactsRoot(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	var count rootfstest.Counts
	for i, root := range []string{"nix/store/one", "nix/store/two"} {
		all := rootfstest.CountedParts(t, &count, "d 0555 "+root, "f 0444 "+root+"/x content")
		e, err := rootfs.NewView(all, facts).Stat(root + "/x")
		if err != nil || e.Path != root+"/x" || e.Size != 7 || count.Walks != 1 {
			t.Errorf("Stat of %d: %v, %v, after %d walks; want it, after 1", i, e, err, count.Walks)
		}
	}
}

// TestFactsHeads: where the listing is known, the first bytes of a file are not believed, nor kept,
// before the walk in which they were read has come to its end, of an unproven part with all contents read.
func TestFactsHeads(t *testing.T) {
	for _, unproven := range []bool{false, true} {
		facts := &rootfs.Facts{Dir: filepath.Join(t.TempDir(), "facts")}
		var count rootfstest.Counts
		// Behind the program is more, so that to stop at it is to stop early.
		lines := append(slices.Clone(factLines[:len(factLines)-1]), `f 0444 nix/store/q/zzz "more"`)
		good := rootfstest.CountedParts(t, &count, lines...)
		if _, err := rootfs.NewView(good, facts).Stat("nix/store/p/bin/prog"); err != nil {
			t.Fatal(err)
		}
		lying := rootfstest.CountedParts(t, &count, lines...)
		for i := range lying {
			tree := lying[i].Tree
			lying[i].Unproven = unproven
			lying[i].Tree = func(yield func(rootfs.Entry, error) bool) {
				files := 0
				count.Opens = 0
				for e, err := range tree {
					if e.IsRegular() {
						files++
						open := e.Open
						e.Open = func() (io.ReadCloser, error) {
							_, err := open() // which counts
							return io.NopCloser(strings.NewReader("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00")), err
						}
					}
					if !yield(e, err) {
						return
					}
				}
				if !unproven || count.Opens == files {
					yield(rootfs.Entry{}, fmt.Errorf("not what its hash promises"))
				}
			}
		}
		read, err := rootfs.NewView(lying, facts).Read(20, "nix/store/q/prog")
		if err == nil || !strings.Contains(err.Error(), "not what its hash promises") {
			t.Errorf("unproven %v: Read of a part that lies = %q, %v; want its error", unproven, read, err)
		}
		if left, _ := filepath.Glob(filepath.Join(facts.Dir, "*.head*")); len(left) > 0 {
			t.Errorf("unproven %v: of a part that lies %q is kept", unproven, left)
		}
	}
}
