package rootfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEntryMap sets and removes many entries in random order, and compares the result with a map.
func TestEntryMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, base := range []string{"", "nix/store/x"} {
		tree := NewEntryMap(base, Mirror{Dst: "etc", Src: "nix/store/p/etc"}, Mirror{Dst: "nix/store/x/d1", Src: "y"})
		model := make(map[string]Entry)
		at := func() string {
			var path []string
			if base != "" {
				path = append(path, base)
			}
			path = append(path, []string{"etc", "d1", "d2", "d-1"}[random.IntN(4)], fmt.Sprint("f", random.IntN(3000)))
			return strings.Join(path, "/")
		}
		for i := range 40_000 {
			path := at()
			e := Entry{}
			switch i % 8 {
			case 0, 1:
				e = Link(path, "/nix/store/p/"+path)
			case 2:
				e = Link(path, "y"+strings.TrimPrefix(path, "nix/store/x/d1"))
			case 3:
				e = Link(path, "/y"+strings.TrimPrefix(path, "nix/store/x/d1"))
			case 4:
				e = Entry{Path: path, Mode: 0o644, Size: int64(i)}
			case 5:
				e = Dir(path, 0o700)
				e.UID, e.GID = i, 7
			case 6:
				e = Dir(Parent(path), 0o755)
			case 7:
				tree.Remove(path)
				delete(model, path)
				continue
			}
			tree.Set(e)
			model[e.Path] = e
		}
		if tree.count != len(model) || len(model) < 8000 {
			t.Fatalf("%d entries; want %d, and at least 8000", tree.count, len(model))
		}
		for range 10_000 {
			path := at()
			want, wantOK := model[path]
			if got, ok := tree.Get(path); ok != wantOK || !cmp.Equal(got, want) {
				t.Fatalf("get(%q) = %v, %v; want %v, %v", path, got, ok, want, wantOK)
			}
		}
		want := slices.SortedFunc(maps.Values(model), func(a, b Entry) int { return ComparePaths(a.Path, b.Path) })
		if d := cmp.Diff(want, slices.Collect(tree.All())); d != "" {
			t.Errorf("all (-want +got):\n%s", d)
		}
		for range tree.All() {
			break // All must stop here
		}
	}
}

// TestEntryMapMemory checks that a link of a large profile takes some hundred bytes, however long its path.
func TestEntryMapMemory(t *testing.T) {
	tree := NewEntryMap("", Mirror{Dst: "run/profile", Src: "nix/store/p"}, Mirror{Dst: "etc", Src: "nix/store/p/etc"})
	long := "run/profile/" + strings.Repeat("a-directory-with-a-long-name/", 20)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const links = 100_000
	for i := range links {
		path := fmt.Sprintf("%s%03d/%09d.py", long, i%300, i)
		tree.Set(Link(path, "/nix/store/p"+strings.TrimPrefix(path, "run/profile")))
	}
	got := float64(heap()-before) / links
	runtime.KeepAlive(tree)
	if got > 112 {
		t.Errorf("%.0f bytes a link; want at most 112", got)
	}
	t.Logf("%.0f bytes a link", got)
}
