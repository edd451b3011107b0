package base

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

func describeBase(t *testing.T, f *Files) []string {
	t.Helper()
	lines, err := rootfstest.Lines(rootfs.Check("", f.Tree))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(lines, f.Env, f.Notes, f.Architectures, []string{f.Key, fmt.Sprint(f.Size, f.Refs)})
}

// TestFacts checks that New makes the same base files from facts without reading a part,
// and that damaged facts change nothing.
func TestFacts(t *testing.T) {
	o := Options{Profiles: []string{"nix/store/p"}, User: User{Name: "app", UID: 1000, GID: 100}, CAFiles: [][]byte{[]byte("a certificate")}}
	dir := filepath.Join(t.TempDir(), "facts")
	var count rootfstest.Counts
	base := func(facts *rootfs.Facts) []string {
		t.Helper()
		count = rootfstest.Counts{}
		f, err := New(rootfs.NewView(rootfstest.CountedParts(t, &count, factLines...), facts), o)
		if err != nil {
			t.Fatal(err)
		}
		return describeBase(t, f)
	}
	want := base(nil)
	if count.Walks == 0 || count.Opens == 0 {
		t.Fatalf("without facts: %d walks, %d files opened", count.Walks, count.Opens)
	}
	check := func(when string, facts *rootfs.Facts, quiet bool) {
		t.Helper()
		if d := cmp.Diff(want, base(facts)); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
		if quiet != (count.Walks == 0 && count.Opens == 0) {
			t.Errorf("%s: %d walks, %d files opened; want none: %v", when, count.Walks, count.Opens, quiet)
		}
	}
	check("first", &rootfs.Facts{Dir: dir}, false)
	check("second", &rootfs.Facts{Dir: dir}, true)

	names, err := filepath.Glob(dir + "/*")
	if err != nil || len(names) < 4 {
		t.Fatalf("facts are %q, %v", names, err)
	}
	var bases []string
	for _, name := range names {
		if strings.HasSuffix(name, ".base") {
			bases = append(bases, name)
		}
		if fi, err := os.Stat(name); err != nil || fi.Mode() != 0o644 {
			t.Errorf("%q has the mode %v", name, fi.Mode())
		}
	}
	if len(bases) != 1 {
		t.Fatalf("there are %d facts about base files", len(bases))
	}
	if err := os.Remove(bases[0]); err != nil {
		t.Fatal(err)
	}
	check("from listings and heads", &rootfs.Facts{Dir: dir}, true)

	// No changed byte of any fact changes the result.
	for _, name := range names {
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(good); i += 5 {
			bad := slices.Clone(good)
			bad[i] ^= 1
			if err := os.WriteFile(name, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if (&rootfs.Facts{Dir: dir}).Load(strings.TrimPrefix(filepath.Ext(name), "."), "sha256:"+strings.Split(filepath.Base(name), ".")[0]) != nil {
				t.Errorf("Load returned %s with byte %d changed", name, i)
			}
		}
		for _, bad := range [][]byte{nil, good[:len(good)-1], good[:len("export-profile facts 2\n")]} {
			if err := os.WriteFile(name, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, base(&rootfs.Facts{Dir: dir})); d != "" {
				t.Errorf("with a fact cut short (-want +got):\n%s", d)
			}
		}
	}
	check("after the damage", &rootfs.Facts{Dir: dir}, true)

	// A directory that cannot be made makes no difference.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check("in a file", &rootfs.Facts{Dir: file}, false)
}

// TestFactsUnproven checks that New reads all files of an unproven part before it trusts the part,
// and that a part with a false key leaves no fact.
func TestFactsUnproven(t *testing.T) {
	facts := &rootfs.Facts{Dir: filepath.Join(t.TempDir(), "facts")}
	o := Options{Profiles: []string{"nix/store/p"}}
	var count rootfstest.Counts
	good := rootfstest.CountedParts(t, &count, factLines...)
	want, err := New(rootfs.NewView(good, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	lying := rootfstest.CountedParts(t, &count, slices.Concat(factLines[:2], []string{"l nix/store/p/bin/evil -> /nix/store/q/prog"}, factLines[2:])...)
	for i := range lying {
		tree := lying[i].Tree
		lying[i].Unproven = true
		lying[i].Tree = func(yield func(rootfs.Entry, error) bool) {
			count.Opens = 0
			files := 0
			for e, err := range tree {
				if e.IsRegular() {
					files++
				}
				if !yield(e, err) {
					return
				}
			}
			if count.Opens >= files { // as a tree that checks hashes does
				yield(rootfs.Entry{}, fmt.Errorf("not what its hash promises"))
			}
		}
	}
	if _, err := New(rootfs.NewView(lying, facts), o); err == nil || !strings.Contains(err.Error(), "not what its hash promises") {
		t.Errorf("New with a part of a false key = %v; want its error", err)
	}
	if left, _ := os.ReadDir(facts.Dir); len(left) > 0 {
		t.Errorf("a part with a false key left the facts %v", left)
	}

	for i := range good {
		good[i].Unproven = true
	}
	got, err := New(rootfs.NewView(good, facts), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(describeBase(t, want), describeBase(t, got)); d != "" {
		t.Errorf("New of unproven parts (-want +got):\n%s", d)
	}
	for _, pattern := range []string{"*.base", "*.head*", "*.listing"} {
		if left, _ := filepath.Glob(filepath.Join(facts.Dir, pattern)); len(left) == 0 {
			t.Errorf("proven parts left no facts %s", pattern)
		}
	}
}

// TestMissingObject checks that a missing object of the closure is an error, and not a path that leads nowhere.
func TestMissingObject(t *testing.T) {
	all := rootfstest.Parts(t, "d 0555 nix/store/p", "d 0555 nix/store/p/bin", "l nix/store/p/bin/prog -> /nix/store/q/prog")
	all = append(all, rootfs.Part{Name: "q", Root: "nix/store/q", Tree: func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.Entry{}, fmt.Errorf("object q: %w", os.ErrNotExist))
	}})
	v := rootfs.NewView(all, nil)
	if e, err := v.Stat("nix/store/p/bin/prog"); err == nil || leadsNowhere(err) {
		t.Errorf("Stat in a missing object = %v, %v; want an error other than fs.ErrNotExist", e, err)
	}
	if f, err := New(v, Options{Profiles: []string{"nix/store/p"}}); err == nil || !strings.Contains(err.Error(), "object q") {
		t.Errorf("New with a missing object = %v, %v; want its error", f, err)
	}
}

// TestFactsLower checks that base files over an image are remembered by its key.
func TestFactsLower(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	store := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/sh x"}
	base := func(l *rootfs.Lower) *Files {
		t.Helper()
		all := rootfstest.Parts(t, store...)
		for i := range all {
			all[i].Key = fmt.Sprintf("sha256:%064x", i)
		}
		b, err := New(rootfs.NewView(all, facts), Options{Profiles: []string{"nix/store/p"}, Lower: l, User: User{Name: "app", UID: 7, GID: 7}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	lines := []string{"d 0755 etc", `f 0640 etc/passwd "root:x:0:0::/:/bin/sh\n"`, "f 0644 etc/ssl/cert.pem x"}
	first := base(rootfstest.Lower(t, lines...))
	again := rootfstest.Lower(t, lines...)
	again.Read = func(rootfs.LowerEntry, int64) ([]byte, error) { return nil, errors.New("read again") }
	second := base(again)
	if d := cmp.Diff([]any{first.Key, first.Env, first.DefaultEnv, first.Notes}, []any{second.Key, second.Env, second.DefaultEnv, second.Notes}); d != "" {
		t.Errorf("the remembered base files differ (-first +second):\n%s", d)
	}
	other := rootfstest.Lower(t, lines[:1]...)
	other.Key = "sha256:other"
	if third := base(other); third.Key == first.Key {
		t.Error("over another image, the base files are the same")
	}
	without := base(nil)
	if without.Key == first.Key {
		t.Error("over no image, the base files are the same")
	}
}
