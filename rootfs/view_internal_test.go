package rootfs

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// deepPart returns a part with links in a deep directory.
func deepPart(depth, files int) Part {
	const object = "nix/store/p"
	return Part{Name: "p", Root: object, Key: fmt.Sprintf("sha256:%064x", 1), Tree: func(yield func(Entry, error) bool) {
		path := object
		if !yield(Dir(path, 0o555), nil) {
			return
		}
		for range depth {
			path += "/" + strings.Repeat("d", MaxName)
			if !yield(Dir(path, 0o555), nil) {
				return
			}
		}
		for i := range files {
			if !yield(Link(fmt.Sprintf("%s/%08d", path, i), "x"), nil) {
				return
			}
		}
	}}
}

// allocated returns the number of bytes that f allocates, whether or not they are free again.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestEncodeDeepListing checks that encodeListing stops at the longest listing that can be kept.
// In a deep directory, paths are far longer than names.
func TestEncodeDeepListing(t *testing.T) {
	v := NewView([]Part{deepPart(400, 1200)}, nil)
	l, err := v.list("nix/store/p")
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if n, most := allocated(func() { b = encodeListing(l) }), uint64(4*maxFact); n > most {
		t.Errorf("encodeListing of 1200 files allocated %d bytes; want at most %d", n, most)
	}
	if len(b) > 0 {
		t.Errorf("encodeListing of a listing that is too long to keep returned %d bytes; want none", len(b))
	}
}

// TestDeepPaths checks the limit of the bytes of all paths in a View.
func TestDeepPaths(t *testing.T) {
	part := deepPart(400, 3000)
	_, err := NewView([]Part{part}, nil).list("nix/store/p")
	if err == nil || !strings.Contains(err.Error(), "paths of more than") {
		t.Errorf("a view of 3000 files with 100 KiB of path each: %v; want an error", err)
	}
}

// TestListWithoutFacts checks that a View without facts encodes no listing.
func TestListWithoutFacts(t *testing.T) {
	list := func(facts *Facts) uint64 {
		v := NewView([]Part{deepPart(10, 10_000)}, facts)
		return allocated(func() {
			if _, err := v.list("nix/store/p"); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := list(&Facts{Dir: t.TempDir()}), list(nil); without+(60<<20) > with {
		t.Errorf("a listing allocated %d bytes without facts and %d with them; want 60 MiB less", without, with)
	}
}

// TestViewLimits checks the limits of a View, for parts that it walks and for listings that are facts.
func TestViewLimits(t *testing.T) {
	entries := []Entry{Dir("nix/store/p", 0o555)}
	for i := range 2000 {
		entries = append(entries, File(fmt.Sprintf("nix/store/p/%04d", i), 0o444, 1, func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("x")), nil
		}))
	}
	parts := []Part{{Name: "p", Root: "nix/store/p", Key: fmt.Sprintf("sha256:%064x", 1), Tree: TreeOf(entries)}}
	facts := &Facts{Dir: t.TempDir()}
	for range 2 {
		v := NewView(parts, facts)
		if v.mostListed < 700_000 {
			t.Errorf("the limit is %d files; want at least 700,000, as in a large profile and all that it links to", v.mostListed)
		}
		if e, err := v.Stat("nix/store/p/1999"); err != nil || !e.IsRegular() {
			t.Errorf("Stat = %v, %v; want a file", e, err)
		}
		v = NewView(parts, facts)
		v.mostListed = 1000
		if e, err := v.Stat("nix/store/p/1"); err == nil || !strings.Contains(err.Error(), "more than 1000 files and directories") {
			t.Errorf("Stat = %v, %v; want an error with the limit", e, err)
		}
		v = NewView(parts, facts)
		v.listedBytes = maxListedBytes - 5000
		if e, err := v.Stat("nix/store/p/1"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes", maxListedBytes)) {
			t.Errorf("Stat = %v, %v; want an error with the limit", e, err)
		}
	}
}
