package rootfs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func lowerPaths(l *rootfs.Lower, path string) string {
	var all []string
	for e := range l.Within(path) {
		all = append(all, e.Path)
	}
	return strings.Join(all, " ")
}

// TestLowerPut: entries come to be where an unpacker puts them.
func TestLowerPut(t *testing.T) {
	l := rootfstest.Lower(t,
		"d 0755 usr", "d 0755 usr/bin", "f 0755 usr/bin/dash x", "l bin -> usr/bin",
		"f 0755 bin/ls x",        // through the link
		"f 0644 opt/made/file x", // with directories that are missing
		"l loop -> loop",
	)
	if got, want := lowerPaths(l, ""), "bin loop opt opt/made opt/made/file usr usr/bin usr/bin/dash usr/bin/ls"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("usr/bin/dash/x", 0o755)}); err == nil {
		t.Error("Put below a file: <nil>; want an error")
	}
	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("loop/x", 0o755)}); err == nil {
		t.Error("Put below a link in a circle: <nil>; want an error")
	}

	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("usr/bin", 0o700)}); err != nil {
		t.Fatal(err)
	}
	if e, err := l.Stat("bin/ls"); err != nil || e.Path != "usr/bin/ls" {
		t.Errorf("a directory that is put again has lost bin/ls: %v, %v", e.Path, err)
	}
	if e, _ := l.Lookup("usr/bin"); e.Mode.Perm() != 0o700 {
		t.Errorf("a directory that is put again has mode %v; want the new one", e.Mode)
	}
	l.Remove("bin/ls")
	l.Remove("nothing/at/all")
	if _, err := l.Stat("usr/bin/ls"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of what was removed: %v; want %v", err, fs.ErrNotExist)
	}
	l.Clear("opt")
	l.Remove("bin")
	if got, want := lowerPaths(l, ""), "loop opt usr usr/bin usr/bin/dash"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
	// A file in the place of a directory, and the reverse.
	for _, e := range []rootfs.Entry{rootfs.Link("usr", "/opt"), rootfs.Dir("loop", 0o755)} {
		if err := l.Put(rootfs.LowerEntry{Entry: e}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := lowerPaths(l, ""), "loop opt usr"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
}

func TestLowerStat(t *testing.T) {
	l := rootfstest.Lower(t, "d 0755 a", "d 0755 a/b", "f 0644 a/b/f x", "l a/up -> ../..", "l abs -> /a/b/", "l out -> ../../../a", "l gone -> a/x/y")
	for _, test := range []struct{ path, stat, place string }{
		{"a/b/f", "a/b/f", "a/b/f"},
		{"abs/f", "a/b/f", "a/b/f"},
		{"abs", "a/b", "abs"},
		{"a/up/abs/f", "a/b/f", "a/b/f"},
		{"out/b", "a/b", "a/b"},
		{"gone", "", "gone"},
		{"gone/z", "", "a/x/y/z"},
		{"a/b/f/x", "", ""},
		{"a//./b/../b/f", "a/b/f", "a/b/f"},
	} {
		e, err := l.Stat(test.path)
		if e.Path != test.stat || (err == nil) != (test.stat != "") || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat(%q) = %q, %v; want %q", test.path, e.Path, err, test.stat)
		}
		if place, err := l.Place(test.path); place != test.place || (err == nil) != (test.place != "") {
			t.Errorf("Place(%q) = %q, %v; want %q", test.path, place, err, test.place)
		}
	}
	var none *rootfs.Lower
	if place, err := none.Place("a/b"); place != "a/b" || err != nil {
		t.Errorf("Place without an image = %q, %v", place, err)
	}
}
