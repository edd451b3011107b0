package rootfs

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// deepPart is a part with files in a deep directory.
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

// allocated is how many bytes f asks for, of which most may be free again.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestEncodeDeepListing: the paths of a listing have far more bytes than its names.
// No more of them is spelled than can be kept.
func TestEncodeDeepListing(t *testing.T) {
	v := NewView([]Part{deepPart(400, 1200)}, nil)
	l, err := v.list("nix/store/p")
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if n, most := allocated(func() { b = encodeListing(l) }), uint64(4*maxFact); n > most {
		t.Errorf("a listing of 1200 files asked for %d bytes; want at most %d", n, most)
	}
	if len(b) > 0 {
		t.Errorf("a listing that is too long to be kept has %d bytes; want none", len(b))
	}
}

// TestDeepPaths: what a View looks at has paths that are no longer than those of any real profile.
func TestDeepPaths(t *testing.T) {
	part := deepPart(400, 3000)
	_, err := NewView([]Part{part}, nil).list("nix/store/p")
	if err == nil || !strings.Contains(err.Error(), "paths of more than") {
		t.Errorf("a view of 3000 files with 100 KiB of path each: %v; want an error", err)
	}
}

// TestListWithoutFacts: nothing is spelled that nobody keeps.
func TestListWithoutFacts(t *testing.T) {
	spelled := func(facts *Facts) uint64 {
		v := NewView([]Part{deepPart(10, 10_000)}, facts)
		return allocated(func() {
			if _, err := v.list("nix/store/p"); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := spelled(&Facts{Dir: t.TempDir()}), spelled(nil); without+(60<<20) > with {
		t.Errorf("a listing asked for %d bytes without facts and %d with them; want 60 MiB less", without, with)
	}
}

// TestViewLimits: of objects without end, no more is remembered than a large profile needs,
// whether they are read or were listed before.
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
			t.Errorf("%d files are allowed; want those of a large profile and all it links to, 700,000", v.mostListed)
		}
		if e, err := v.Stat("nix/store/p/1999"); err != nil || !e.IsRegular() {
			t.Errorf("Stat = %v, %v; want a file", e, err)
		}
		v = NewView(parts, facts)
		v.mostListed = 1000
		if e, err := v.Stat("nix/store/p/1"); err == nil || !strings.Contains(err.Error(), "more than 1000 files and directories") {
			t.Errorf("Stat = %v, %v; want an error that says how many", e, err)
		}
		v = NewView(parts, facts)
		v.listedBytes = maxListedBytes - 5000
		if e, err := v.Stat("nix/store/p/1"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d bytes", maxListedBytes)) {
			t.Errorf("Stat = %v, %v; want an error that says how many", e, err)
		}
	}
}
