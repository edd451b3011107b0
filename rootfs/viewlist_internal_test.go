package rootfs

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// linkedParts returns a profile whose bin directory has a link to each of n parts. Each part's tree calls walked with its number.
func linkedParts(n int, walked func(i int) error) []Part {
	const profile = "nix/store/profile"
	entries := []Entry{Dir(profile, 0o555), Dir(profile+"/bin", 0o555)}
	var parts []Part
	for i := range n {
		root := fmt.Sprintf("nix/store/%03d", i)
		entries = append(entries, Link(fmt.Sprintf("%s/bin/%03d", profile, i), "/"+root+"/program"))
		parts = append(parts, Part{Name: root, Root: root, Size: int64(i), Tree: func(yield func(Entry, error) bool) {
			if err := walked(i); err != nil {
				yield(Entry{}, err)
				return
			}
			_ = yield(Dir(root, 0o555), nil) && yield(Entry{Path: root + "/program", Mode: 0o555, Size: int64(i)}, nil)
		}})
	}
	entries = append(entries, Dir(profile+"/share", 0o555), Link(profile+"/share/other", "/nix/store/other"))
	other := Part{Name: "other", Root: "nix/store/other", Tree: func(yield func(Entry, error) bool) {
		yield(Entry{}, errors.New("not linked from bin"))
	}}
	return append(parts, other, Part{Name: "profile", Root: profile, Tree: TreeOf(entries)})
}

// programs returns what a View says about the programs in a profile.
func programs(v *View, n int) (lines []string) {
	for i := range n {
		e, err := v.Stat(fmt.Sprintf("nix/store/profile/bin/%03d", i))
		lines = append(lines, fmt.Sprint(e.Path, e.Size, err))
	}
	return lines
}

// TestListAhead checks that linked parts are listed at the same time, each once, with the same result.
func TestListAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	want := programs(NewView(linkedParts(6, func(int) error { return nil }), nil), 6)

	var walks atomic.Int32
	var pair sync.WaitGroup // ends when two walks have begun
	pair.Add(2)
	v := NewView(linkedParts(6, func(int) error {
		if walks.Add(1) <= 2 {
			pair.Done()
			pair.Wait()
		}
		return nil
	}), nil)
	v.ListAhead("nix/store/profile/bin", "nix/store/profile/etc", "nix/store/profile/bin")
	if n := walks.Load(); n != 6 {
		t.Errorf("ListAhead walked %d parts; want 6", n)
	}
	if diff := cmp.Diff(want, programs(v, 6)); diff != "" {
		t.Errorf("after ListAhead (-want +got):\n%s", diff)
	}
	v.ListAhead("nix/store/profile/bin")
	if n := walks.Load(); n != 6 {
		t.Errorf("%d walks in the end; want 6", n)
	}
}

// TestListAheadFails checks that a part that cannot be listed is read once, and that its error comes when it is needed.
func TestListAheadFails(t *testing.T) {
	var walks atomic.Int32
	walked := func(i int) error {
		walks.Add(1)
		if i == 3 {
			return errors.New("broken")
		}
		return nil
	}
	want := programs(NewView(linkedParts(6, walked), nil), 6)
	if !strings.Contains(want[3], "broken") {
		t.Fatalf("a broken part gives %q", want[3])
	}
	walks.Store(0)
	v := NewView(linkedParts(6, walked), nil)
	v.ListAhead("nix/store/profile/bin")
	if diff := cmp.Diff(want, programs(v, 6)); diff != "" {
		t.Errorf("after ListAhead (-want +got):\n%s", diff)
	}
	if n := walks.Load(); n != 6 {
		t.Errorf("%d walks; want 6", n)
	}
}

// TestListAheadBroken checks that a profile that cannot be listed is read once.
func TestListAheadBroken(t *testing.T) {
	walks := 0
	v := NewView([]Part{{Name: "p", Root: "nix/store/p", Tree: func(yield func(Entry, error) bool) {
		walks++
		yield(Entry{}, errors.New("broken"))
	}}}, nil)
	v.ListAhead("nix/store/p/etc", "nix/store/p/bin")
	for range 2 {
		if _, err := v.Stat("nix/store/p/etc"); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("Stat in a broken part = %v; want the error of its tree", err)
		}
	}
	if walks != 1 {
		t.Errorf("%d walks; want 1", walks)
	}
}

// TestListAheadLimit checks that the part that exceeds the limits is the same with and without ListAhead.
func TestListAheadLimit(t *testing.T) {
	ok := func(int) error { return nil }
	sequential := NewView(linkedParts(50, ok), nil)
	sequential.mostListed = 100
	want := programs(sequential, 50)
	if !strings.Contains(strings.Join(want, "\n"), "more than 100 files") {
		t.Fatal("no part exceeds the limit")
	}
	v := NewView(linkedParts(50, ok), nil)
	v.mostListed = 100
	v.ListAhead("nix/store/profile/bin")
	if diff := cmp.Diff(want, programs(v, 50)); diff != "" {
		t.Errorf("after ListAhead (-want +got):\n%s", diff)
	}
}
