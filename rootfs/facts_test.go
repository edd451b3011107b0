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

// TestFactsRoot checks that a fact serves each part with its key, whatever its root.
func TestFactsRoot(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	var count rootfstest.Counts
	for i, root := range []string{"nix/store/one", "nix/store/two"} {
		all := rootfstest.CountedParts(t, &count, "d 0555 "+root, "f 0444 "+root+"/x content")
		e, err := rootfs.NewView(all, facts).Stat(root + "/x")
		if err != nil || e.Path != root+"/x" || e.Size != 7 || count.Walks != 1 {
			t.Errorf("Stat in part %d = %v, %v, after %d walks; want the file, after 1", i, e, err, count.Walks)
		}
	}
}

// TestFactsHeads checks that the first bytes of a file are neither returned nor kept
// if the walk that read them ends with an error. Of an unproven part, that walk reads all contents.
// The listing is already a fact here.
func TestFactsHeads(t *testing.T) {
	for _, unproven := range []bool{false, true} {
		facts := &rootfs.Facts{Dir: filepath.Join(t.TempDir(), "facts")}
		var count rootfstest.Counts
		// Another file follows the program, so a walk that stops at the program stops early.
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
							_, err := open() // so that it counts
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
			t.Errorf("unproven %v: Read of a part with a false key = %q, %v; want its error", unproven, read, err)
		}
		if left, _ := filepath.Glob(filepath.Join(facts.Dir, "*.head*")); len(left) > 0 {
			t.Errorf("unproven %v: a part with a false key left the facts %q", unproven, left)
		}
	}
}
