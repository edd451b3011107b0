package rootfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
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

// TestLowerPut checks that entries land where an unpacker would put them.
func TestLowerPut(t *testing.T) {
	l := rootfstest.Lower(t,
		"d 0755 usr", "d 0755 usr/bin", "f 0755 usr/bin/dash x", "l bin -> usr/bin",
		"f 0755 bin/ls x",        // through the link
		"f 0644 opt/made/file x", // in missing directories
		"l loop -> loop",
	)
	if got, want := lowerPaths(l, ""), "bin loop opt opt/made opt/made/file usr usr/bin usr/bin/dash usr/bin/ls"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("usr/bin/dash/x", 0o755)}); err == nil {
		t.Error("Put below a file: <nil>; want an error")
	}
	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("loop/x", 0o755)}); err == nil {
		t.Error("Put below a link to itself: <nil>; want an error")
	}

	if err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir("usr/bin", 0o700)}); err != nil {
		t.Fatal(err)
	}
	if e, err := l.Stat("bin/ls"); err != nil || e.Path != "usr/bin/ls" {
		t.Errorf("a directory lost bin/ls when it was put again: %v, %v", e.Path, err)
	}
	if e, _ := l.Lookup("usr/bin"); e.Mode.Perm() != 0o700 {
		t.Errorf("a directory that was put again has mode %v; want the new one", e.Mode)
	}
	l.Remove("bin/ls")
	l.Remove("nothing/at/all")
	if _, err := l.Stat("usr/bin/ls"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of a removed file: %v; want %v", err, fs.ErrNotExist)
	}
	l.Clear("opt")
	l.Remove("bin")
	if got, want := lowerPaths(l, ""), "loop opt usr usr/bin usr/bin/dash"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
	// A link replaces a directory, and a directory a link.
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
		t.Errorf("Place in no image = %q, %v; want a/b, <nil>", place, err)
	}
}

// TestLowerDeep checks that missing directories above a file share the memory of its path.
func TestLowerDeep(t *testing.T) {
	l := rootfs.NewLower("")
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	for i := range 4 {
		path := fmt.Sprint(i) + strings.Repeat("/"+strings.Repeat("d", rootfs.MaxName), 1000)
		if err := l.Put(rootfs.LowerEntry{Entry: rootfs.File(path, 0o644, 0, nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if after := used(); after > before+16<<20 {
		t.Errorf("four files, each below 1000 directories, take %d bytes; want at most 16 MiB", after-before)
	}
	if _, ok := l.Lookup("3/" + strings.Repeat("d", rootfs.MaxName)); !ok {
		t.Error("the directories are missing")
	}
	runtime.KeepAlive(l)
}

// TestLowerLongPaths checks the limit of paths that a link makes long.
func TestLowerLongPaths(t *testing.T) {
	l := rootfs.NewLower("")
	deep := "a" + strings.Repeat("/"+strings.Repeat("d", rootfs.MaxName), 1000)
	err := l.Put(rootfs.LowerEntry{Entry: rootfs.Dir(deep, 0o755)})
	for i := 0; err == nil && i < 1000; i++ {
		if i == 0 {
			err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link("l", deep)})
		}
		if err == nil {
			err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link(fmt.Sprintf("l/%d", i%10), "x")})
		}
	}
	if err != nil {
		t.Fatalf("within the limit: %v", err)
	}
	for i := 0; err == nil && i < 100; i++ {
		err = l.Put(rootfs.LowerEntry{Entry: rootfs.Link(fmt.Sprintf("l/%d", i), "x")})
	}
	if err == nil || !strings.Contains(err.Error(), "paths of more than") {
		t.Errorf("paths of 275 MB: %v; want an error", err)
	}
}
