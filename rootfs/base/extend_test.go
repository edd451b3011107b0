package base

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// basePart returns a base part with the given entries.
func basePart(t *testing.T, lines ...string) rootfs.Part {
	t.Helper()
	b := newBuilder(nil)
	for e := range rootfstest.Tree(t, lines...) {
		if !e.IsRegular() {
			b.files.Set(e)
			continue
		}
		_, content, _ := strings.Cut(lines[b.files.Len()], e.Path+" ")
		b.putFile(e.Path, []byte(content))
		b.files.Set(rootfs.Entry{Path: e.Path, Mode: e.Mode, Size: e.Size, Open: e.Open})
	}
	return b.part(nil)
}

func TestExtend(t *testing.T) {
	base := basePart(t, "d 0755 etc", "f 0444 etc/a a", "d 0755 nix", "d 0755 nix/store", "d 0755 var", "l x -> y")
	whole := basePart(t, "d 0755 etc", "f 0444 etc/a a", "d 0755 nix", "d 0755 nix/store", "d 0755 nix/var",
		"f 0644 nix/var/db content", "l nix/var/link -> /x", "d 0755 var", "d 0755 var/lib", "l x -> y")
	got, err := Extend(base, rootfstest.Tree(t, "d 0755 nix", "d 0755 nix/var", "f 0644 nix/var/db content", "l nix/var/link -> /x",
		"d 0755 var", "d 0755 var/lib"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Key != whole.Key || got.Size != whole.Size || got.Name != base.Name || got.Root != "" {
		t.Errorf("Extend = %q %s of %d bytes; want %q %s of %d bytes", got.Name, got.Key, got.Size, base.Name, whole.Key, whole.Size)
	}
	want, err := rootfstest.Lines(whole.Tree)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // walk it twice
		lines, err := rootfstest.Lines(got.Tree)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text(want), text(lines)); d != "" {
			t.Errorf("Extend (-want +got):\n%s", d)
		}
	}
	same, err := Extend(base, rootfstest.Tree(t))
	if err != nil || same.Key != base.Key || same.Size != base.Size {
		t.Errorf("Extend by no entries = %s of %d bytes, %v; want %s of %d bytes, <nil>", same.Key, same.Size, err, base.Key, base.Size)
	}
}

func TestExtendRefuses(t *testing.T) {
	base := basePart(t, "d 0755 etc", "f 0444 etc/a a", "l x -> y")
	for _, more := range [][]string{
		{"d 0755 etc", "f 0444 etc/a a"},
		{"d 0700 etc"},
		{"l etc -> y"},
		{"d 0755 x"},
		{"l x -> y"},
		{"d 0755 x", "f 0444 x/a a"},
	} {
		if _, err := Extend(base, rootfstest.Tree(t, more...)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Extend(%q) = %v; want %v", more, err, fs.ErrExist)
		}
	}
	if _, err := Extend(base, rootfstest.Tree(t, "d 0755 z", "d 0755 a")); err == nil || !strings.Contains(err.Error(), "path order") {
		t.Errorf("Extend by a tree out of path order = %v; want an error that says so", err)
	}
	short := func(yield func(rootfs.Entry, error) bool) {
		for e := range rootfstest.Tree(t, "f 0444 z four") {
			e.Size++
			yield(e, nil)
		}
	}
	if _, err := Extend(base, short); err == nil || err.Error() != `extend base files: read "z": 4 bytes instead of 5` {
		t.Errorf("Extend by a file that is too short = %v; want an error that says so", err)
	}
}
