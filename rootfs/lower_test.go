package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lower is an image that has all entries of the lines, in their order.
func lower(t *testing.T, lines ...string) *Lower {
	t.Helper()
	l := NewLower("sha256:test")
	contents := make(map[string]Entry)
	l.Read = func(e LowerEntry, limit int64) ([]byte, error) {
		if e.Size > limit {
			return nil, errors.New("too large")
		}
		r, err := contents[e.Source].Open()
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	for _, line := range lines {
		e, err := parseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Path] = e
		if err := l.Put(LowerEntry{Entry: e, Source: e.Path}); err != nil {
			t.Fatalf("Put(%s): %v", line, err)
		}
	}
	return l
}

func lowerPaths(l *Lower, path string) string {
	var all []string
	for e := range l.Within(path) {
		all = append(all, e.Path)
	}
	return strings.Join(all, " ")
}

// TestLowerPut: entries come to be where an unpacker puts them.
func TestLowerPut(t *testing.T) {
	l := lower(t,
		"d 0755 usr", "d 0755 usr/bin", "f 0755 usr/bin/dash x", "l bin -> usr/bin",
		"f 0755 bin/ls x",        // through the link
		"f 0644 opt/made/file x", // with directories that are missing
		"l loop -> loop",
	)
	if got, want := lowerPaths(l, ""), "bin loop opt opt/made opt/made/file usr usr/bin usr/bin/dash usr/bin/ls"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
	if err := l.Put(LowerEntry{Entry: Dir("usr/bin/dash/x", 0o755)}); err == nil {
		t.Error("Put below a file: <nil>; want an error")
	}
	if err := l.Put(LowerEntry{Entry: Dir("loop/x", 0o755)}); err == nil {
		t.Error("Put below a link in a circle: <nil>; want an error")
	}

	if err := l.Put(LowerEntry{Entry: Dir("usr/bin", 0o700)}); err != nil {
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
	for _, e := range []Entry{Link("usr", "/opt"), Dir("loop", 0o755)} {
		if err := l.Put(LowerEntry{Entry: e}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := lowerPaths(l, ""), "loop opt usr"; got != want {
		t.Errorf("the image has %q; want %q", got, want)
	}
}

func TestLowerStat(t *testing.T) {
	l := lower(t, "d 0755 a", "d 0755 a/b", "f 0644 a/b/f x", "l a/up -> ../..", "l abs -> /a/b/", "l out -> ../../../a", "l gone -> a/x/y")
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
	var none *Lower
	if place, err := none.Place("a/b"); place != "a/b" || err != nil {
		t.Errorf("Place without an image = %q, %v", place, err)
	}
}

// TestBaseOverKept: base files over an image are found again by its key, and not by another's.
func TestBaseOverKept(t *testing.T) {
	facts := &Facts{Dir: t.TempDir()}
	store := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/sh x"}
	base := func(l *Lower) *BaseFiles {
		t.Helper()
		all := parts(t, store)
		for i := range all {
			all[i].Key = fmt.Sprintf("sha256:%064x", i)
		}
		b, err := Base(NewView(all, facts), Options{Profiles: []string{"nix/store/p"}, Lower: l, User: User{Name: "app", UID: 7, GID: 7}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	lines := []string{"d 0755 etc", `f 0640 etc/passwd "root:x:0:0::/:/bin/sh\n"`, "f 0644 etc/ssl/cert.pem x"}
	first := base(lower(t, lines...))
	again := lower(t, lines...)
	again.Read = func(LowerEntry, int64) ([]byte, error) { return nil, errors.New("read again") }
	second := base(again)
	if d := cmp.Diff([]any{first.Key, first.Env, first.DefaultEnv, first.Notes}, []any{second.Key, second.Env, second.DefaultEnv, second.Notes}); d != "" {
		t.Errorf("the kept base files differ (-first +second):\n%s", d)
	}
	other := lower(t, lines[:1]...)
	other.Key = "sha256:other"
	if third := base(other); third.Key == first.Key {
		t.Error("over another image, the base files are the same")
	}
	without := base(nil)
	if without.Key == first.Key {
		t.Error("over no image, the base files are the same")
	}
}
