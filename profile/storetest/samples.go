package storetest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// Samples returns the golden closure, a closure of odd objects, and one of many objects.
// Callers must not change them.
func Samples(t testing.TB) []*Sample {
	t.Helper()
	return []*Sample{GoldenSample(t), Odd(t), Many(t, testrun.Of(100, 2000))}
}

// The files of the samples below contain their references, so a scan for references finds them.

// Odd returns objects that Nix allows but few programs expect: single files and links,
// reference cycles, names that are not UTF-8, empty objects, and links out of the store.
func Odd(t testing.TB) *Sample {
	s := New("odd")
	long := strings.Repeat("n", rootfs.MaxName)
	s.add(t, "file", "", "f 0444 . alone")
	s.add(t, "program", "", "f 0555 . #!/bin/sh")
	s.add(t, "link", "file", "l . "+string(PathOf("file")))
	s.add(t, "empty", "", "d .")
	s.add(t, "nothing", "", "f 0444 .")
	s.add(t, "itself", "itself", "d .", "l self "+string(PathOf("itself"))+"/self")
	s.add(t, "circle-a", "circle-b", "d .", "f 0444 to "+string(PathOf("circle-b")))
	s.add(t, "circle-b", "circle-a", "d .", "f 0444 to "+string(PathOf("circle-a")))
	s.add(t, "names_+-.?=", "", "d .", "f 0444 \x01\xff\xfe odd", "f 0444 a\nb newline", "d b", "f 0444 b/c x", "f 0444 b-c x",
		"f 0444 "+long+" long", "l ünïcode ../../..", "f 0555 ~nix~case~hack~1 x")
	deep := []string{"d ."}
	for i := range 70 {
		deep = append(deep, "d "+strings.TrimPrefix(strings.Repeat("/d", i+1), "/"))
	}
	s.add(t, "deep", "", deep...)
	s.add(t, "large", "", "f 0444 . "+strings.Repeat("0123456789abcdef", 1<<16))
	refs := []string{"circle-a", "deep", "empty", "file", "itself", "large", "link", "names_+-.?=", "nothing", "program"}
	s.Root = s.add(t, "top", strings.Join(refs, " "),
		"d .", "f 0444 refs "+pathsOf(refs), "d bin", "l bin/program "+string(PathOf("program")), "l bin/lost /nowhere", "d etc", "l etc/file "+string(PathOf("link")))
	return s
}

// Knot covers what Odd does not: a profile that refers to itself and is part of a reference cycle,
// with odd names, empty directories and empty files in its etc and bin.
// Its files contain all its references, so a scan for references finds them.
func Knot(t testing.TB) *Sample {
	s := New("knot")
	at := func(name string) string { return string(PathOf(name)) }
	s.add(t, "first", "knot", "d .", "d etc", "f 0444 etc/\xff\xfe not UTF-8", "l etc/\xc3( \xff\xfe", "d etc/none", "d etc/none/at", "d etc/none/at/all",
		"f 0444 etc/zero", "f 0555 etc/zero.sh", "f 0444 back "+at("knot"))
	s.add(t, "second", "first leaf linked", "d .", "f 0555 run "+at("first"), "l leaf "+at("leaf"), "l linked "+at("linked"))
	s.add(t, "leaf", "", "f 0555 . #!/bin/sh")
	s.add(t, "linked", "leaf", "l . "+at("leaf"))
	s.add(t, "void", "", "d .")
	s.Root = s.add(t, "knot", "first knot leaf second void", "d .", "l etc "+at("first")+"/etc", "d bin", "l bin/sh "+at("leaf"),
		"l bin/run "+at("second")+"/run", "l bin/\xe9t\xe9 "+at("leaf"), "l void "+at("void"), "l self "+at("knot")+"/bin", "d share", "d share/empty")
	return s
}

// Many returns n objects that each refer to a few others.
func Many(t testing.TB, n int) *Sample {
	s := New("many")
	name := func(i int) string { return fmt.Sprintf("m%d", i) }
	for i := range n {
		refs := []string{}
		for _, j := range []int{i - 1, i / 2, i / 3} {
			if j >= 0 && j < i && !slices.Contains(refs, name(j)) {
				refs = append(refs, name(j))
			}
		}
		s.Root = s.add(t, name(i), strings.Join(refs, " "), "d .", fmt.Sprintf("f 0444 data content of %d: ", i)+pathsOf(refs))
	}
	return s
}

// Tiny returns a sample of two objects of a few hundred bytes.
func Tiny(t testing.TB) *Sample { return TinyIn(t, profile.StoreDir{}) }

// TinyIn returns a sample like [Tiny] whose store directory is dir.
func TinyIn(t testing.TB, dir profile.StoreDir) *Sample {
	s := NewIn("tiny", dir)
	s.Add(t, "leaf", "", "f 0555 . #!/bin/sh")
	s.Add(t, "tiny", "leaf tiny", "d .", "l sh "+string(s.PathOf("leaf")), "f 0444 me "+string(s.PathOf("tiny")))
	return s
}

// Small returns the smallest sample with all kinds of entries and a reference, for tests that flip each bit.
func Small(t testing.TB) *Sample {
	s := New("small")
	s.add(t, "lib", "", "d .", "f 0444 data content")
	s.Root = s.add(t, "top", "lib", "d .", "f 0555 run "+string(PathOf("lib")), "l to "+string(PathOf("lib"))+"/data")
	return s
}

// Large returns a sample with one file of zeros, which is never held in memory.
func Large(t testing.TB, size int64) *Sample {
	s := &Sample{Name: "large", Root: PathOf("zeros"), trees: make(map[profile.Path]rootfs.Tree)}
	s.trees[s.Root] = func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.File(s.Root.Root(), 0o444, size, func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, size)), nil
		}), nil)
	}
	info := &profile.Info{Path: s.Root}
	var err error
	if info.NarHash, info.NarSize, err = nar.Sum(s.trees[s.Root], s.Root.Root()); err != nil {
		t.Fatal(err)
	}
	s.Infos = []*profile.Info{info}
	return s
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func pathsOf(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(string(PathOf(name)) + "\n")
	}
	return b.String()
}
