package rootfs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// watchedParts are parts with keys that count how often they are walked and their files opened.
func watchedParts(t *testing.T, walks, opens *int, lines ...string) []Part {
	all := parts(t, lines)
	for i := range all {
		tree := all[i].Tree
		all[i].Key = fmt.Sprintf("sha256:%064x", i+1)
		all[i].Tree = func(yield func(Entry, error) bool) {
			*walks++
			for e, err := range tree {
				if open := e.Open; open != nil {
					e.Open = func() (io.ReadCloser, error) {
						*opens++
						return open()
					}
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
	return all
}

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

func describeBase(t *testing.T, f *BaseFiles) []string {
	t.Helper()
	lines, err := list(Check("", f.Tree))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(lines, f.Env, f.Notes, f.Architectures, []string{f.Key, fmt.Sprint(f.Size, f.Refs)})
}

func TestFacts(t *testing.T) {
	o := Options{Profiles: []string{"nix/store/p"}, User: User{"app", 1000, 100}, CAFiles: [][]byte{[]byte("a certificate")}}
	dir := filepath.Join(t.TempDir(), "facts")
	walks, opens := 0, 0
	base := func(facts *Facts) []string {
		t.Helper()
		walks, opens = 0, 0
		f, err := Base(NewView(watchedParts(t, &walks, &opens, factLines...), facts), o)
		if err != nil {
			t.Fatal(err)
		}
		return describeBase(t, f)
	}
	want := base(nil)
	if walks == 0 || opens == 0 {
		t.Fatalf("without facts: %d walks, %d files opened", walks, opens)
	}
	check := func(when string, facts *Facts, quiet bool) {
		t.Helper()
		if d := cmp.Diff(want, base(facts)); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
		if quiet != (walks == 0 && opens == 0) {
			t.Errorf("%s: %d walks, %d files opened; want none: %v", when, walks, opens, quiet)
		}
	}
	check("first", &Facts{Dir: dir}, false)
	check("second", &Facts{Dir: dir}, true)

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
	check("from listings and heads", &Facts{Dir: dir}, true)

	// Whatever byte of whatever fact is another, the result is not.
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
			if (&Facts{Dir: dir}).Load(strings.TrimPrefix(filepath.Ext(name), "."), "sha256:"+strings.Split(filepath.Base(name), ".")[0]) != nil {
				t.Errorf("%s with byte %d changed is believed", name, i)
			}
		}
		for _, bad := range [][]byte{nil, good[:len(good)-1], good[:len(factsVersion)]} {
			if err := os.WriteFile(name, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, base(&Facts{Dir: dir})); d != "" {
				t.Errorf("with a fact cut short (-want +got):\n%s", d)
			}
		}
	}
	check("at last", &Facts{Dir: dir}, true)

	// A directory that cannot be written to, or is none, makes no difference.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check("in a file", &Facts{Dir: file}, false)
}

// TestFactsOptions: other options or other parts are another fact.
func TestFactsOptions(t *testing.T) {
	facts := &Facts{Dir: t.TempDir()}
	walks, opens := 0, 0
	keys := make(map[string]string)
	for name, test := range map[string]struct {
		o     Options
		lines []string
	}{
		"plain":      {Options{Profiles: []string{"nix/store/p"}}, factLines},
		"bare":       {Options{Profiles: []string{"nix/store/p"}, Bare: true}, factLines},
		"other":      {Options{Profiles: []string{"nix/store/q"}}, factLines},
		"both":       {Options{Profiles: []string{"nix/store/p", "nix/store/q"}}, factLines},
		"user":       {Options{Profiles: []string{"nix/store/p"}, User: User{"a", 1, 1}}, factLines},
		"group":      {Options{Profiles: []string{"nix/store/p"}, User: User{"a", 1, 2}}, factLines},
		"ca":         {Options{Profiles: []string{"nix/store/p"}, CAFiles: [][]byte{[]byte("x")}}, factLines},
		"fewer":      {Options{Profiles: []string{"nix/store/p"}}, factLines[:len(factLines)-1]},
		"no profile": {Options{Profiles: []string{"nix/store/r"}}, factLines},
	} {
		v := NewView(watchedParts(t, &walks, &opens, test.lines...), facts)
		key := v.baseKey(test.o)
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		keys[key] = name
	}
	unpromised := parts(t, factLines)
	if key := NewView(unpromised, facts).baseKey(Options{Profiles: []string{"nix/store/p"}}); key != "" {
		t.Errorf("parts without keys have the key %q", key)
	}
	if _, err := Base(NewView(unpromised, facts), Options{Profiles: []string{"nix/store/p"}}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(facts.Dir); len(left) > 0 {
		t.Errorf("of parts without keys %v is kept", left)
	}
}

// TestFactsRoot: a listing is of a key, wherever its part lies.
func TestFactsRoot(t *testing.T) {
	facts := &Facts{Dir: t.TempDir()}
	walks, opens := 0, 0
	for i, root := range []string{"nix/store/one", "nix/store/two"} {
		all := watchedParts(t, &walks, &opens, "d 0555 "+root, "f 0444 "+root+"/x content")
		e, err := NewView(all, facts).Stat(root + "/x")
		if err != nil || e.Path != root+"/x" || e.Size != 7 || walks != 1 {
			t.Errorf("Stat of %d: %v, %v, after %d walks; want it, after 1", i, e, err, walks)
		}
	}
}

func TestFactsTrim(t *testing.T) {
	const unused = 30 * 24 * time.Hour
	facts := &Facts{Dir: filepath.Join(t.TempDir(), "facts")}
	if _, err := RemoveUnused(facts.Dir, unused); err != nil {
		t.Errorf("RemoveUnused of nothing = %v", err)
	}
	old, used := fmt.Sprintf("sha256:%064x", 1), fmt.Sprintf("sha256:%064x", 2)
	for _, key := range []string{old, used} {
		facts.Keep("listing", key, []byte("fact"))
		long := time.Now().Add(-2 * unused)
		if err := os.Chtimes(facts.place("listing", key), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if facts.Load("listing", used) == nil {
		t.Error("a fact is gone before it was trimmed")
	}
	if removed, err := RemoveUnused(facts.Dir, unused); err != nil || removed.Files != 1 {
		t.Fatalf("RemoveUnused = %+v, %v; want one file, <nil>", removed, err)
	}
	if facts.Load("listing", old) != nil || facts.Load("listing", used) == nil {
		t.Error("RemoveUnused kept what nobody used, or removed what somebody did")
	}
}

// FuzzDecodeListing: what is accepted follows the rules of trees and is spelled again as it was.
func FuzzDecodeListing(f *testing.F) {
	l := newFileTree("r")
	for _, e := range []Entry{Dir("r", 0o555), Link("r/a", "b"), File("r/b", 0o444, 300, nil)} {
		l.set(e)
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
		if want, got := slices.Collect(l.all()), slices.Collect(again.all()); !cmp.Equal(want, got) {
			t.Errorf("decodeListing(%q) = %v; again %v", b, want, got)
		}
	})
}

// TestFactsUnproven: what only claims its key is read through before it counts,
// and what is false leaves no fact that a good part of that key would suffer from.
func TestFactsUnproven(t *testing.T) {
	facts := &Facts{Dir: filepath.Join(t.TempDir(), "facts")}
	o := Options{Profiles: []string{"nix/store/p"}}
	walks, opens := 0, 0
	good := watchedParts(t, &walks, &opens, factLines...)
	want, err := Base(NewView(good, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	lying := watchedParts(t, &walks, &opens, slices.Concat(factLines[:2], []string{"l nix/store/p/bin/evil -> /nix/store/q/prog"}, factLines[2:])...)
	for i := range lying {
		tree := lying[i].Tree
		lying[i].Unproven = true
		lying[i].Tree = func(yield func(Entry, error) bool) {
			opens = 0
			files := 0
			for e, err := range tree {
				if e.IsRegular() {
					files++
				}
				if !yield(e, err) {
					return
				}
			}
			if opens >= files { // as a tree does that hashes what is read
				yield(Entry{}, fmt.Errorf("not what its hash promises"))
			}
		}
	}
	if _, err := Base(NewView(lying, facts), o); err == nil || !strings.Contains(err.Error(), "not what its hash promises") {
		t.Errorf("Base of a part that lies = %v; want its error", err)
	}
	if left, _ := os.ReadDir(facts.Dir); len(left) > 0 {
		t.Errorf("of a part that lies %v is kept", left)
	}

	for i := range good {
		good[i].Unproven = true
	}
	got, err := Base(NewView(good, facts), o)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(describeBase(t, want), describeBase(t, got)); d != "" {
		t.Errorf("Base of unproven parts (-want +got):\n%s", d)
	}
	for _, pattern := range []string{"*.base", "*.head*", "*.listing"} {
		if left, _ := filepath.Glob(filepath.Join(facts.Dir, pattern)); len(left) == 0 {
			t.Errorf("no %s is kept of what was proven", pattern)
		}
	}
}

// TestFactsHeads: where the listing is known, the first bytes of a file are not believed, nor kept,
// before the walk in which they were read has come to its end, of an unproven part with all contents read.
func TestFactsHeads(t *testing.T) {
	for _, unproven := range []bool{false, true} {
		facts := &Facts{Dir: filepath.Join(t.TempDir(), "facts")}
		walks, opens := 0, 0
		// Behind the program is more, so that to stop at it is to stop early.
		lines := append(slices.Clone(factLines[:len(factLines)-1]), `f 0444 nix/store/q/zzz "more"`)
		good := watchedParts(t, &walks, &opens, lines...)
		if _, err := NewView(good, facts).Stat("nix/store/p/bin/prog"); err != nil {
			t.Fatal(err)
		}
		lying := watchedParts(t, &walks, &opens, lines...)
		for i := range lying {
			tree := lying[i].Tree
			lying[i].Unproven = unproven
			lying[i].Tree = func(yield func(Entry, error) bool) {
				files := 0
				opens = 0
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
				if !unproven || opens == files {
					yield(Entry{}, fmt.Errorf("not what its hash promises"))
				}
			}
		}
		read, err := NewView(lying, facts).Read(20, "nix/store/q/prog")
		if err == nil || !strings.Contains(err.Error(), "not what its hash promises") {
			t.Errorf("unproven %v: Read of a part that lies = %q, %v; want its error", unproven, read, err)
		}
		if left, _ := filepath.Glob(filepath.Join(facts.Dir, "*.head*")); len(left) > 0 {
			t.Errorf("unproven %v: of a part that lies %q is kept", unproven, left)
		}
	}
}

// TestViewGone: an object that should be there and is not is an error, and not a path that leads nowhere.
func TestViewGone(t *testing.T) {
	all := parts(t, []string{"d 0555 nix/store/p", "d 0555 nix/store/p/bin", "l nix/store/p/bin/prog -> /nix/store/q/prog"})
	all = append(all, Part{Name: "q", Root: "nix/store/q", Tree: func(yield func(Entry, error) bool) {
		yield(Entry{}, fmt.Errorf("object q: %w", os.ErrNotExist))
	}})
	v := NewView(all, nil)
	if e, err := v.Stat("nix/store/p/bin/prog"); err == nil || nothingThere(err) {
		t.Errorf("Stat into an object that is gone = %v, %v; want an error that is not about the path", e, err)
	}
	if f, err := Base(v, Options{Profiles: []string{"nix/store/p"}}); err == nil || !strings.Contains(err.Error(), "object q") {
		t.Errorf("Base with an object that is gone = %v, %v; want its error", f, err)
	}
}
