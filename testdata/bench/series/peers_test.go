package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// graphOf makes parts from lines NAME:SIZE REFERENCE.... Digests follow from the names.
func graphOf(lines ...string) []rootfs.Part {
	root := func(name string) string {
		return storeRoot + "/" + newDigest([]byte(name)) + "-" + name
	}
	var parts []rootfs.Part
	for _, line := range lines {
		words := strings.Fields(line)
		name, size, _ := strings.Cut(words[0], ":")
		p := rootfs.Part{Root: root(name), Name: strings.TrimPrefix(root(name), storeRoot+"/"), Key: key(name)}
		_, _ = fmt.Sscan(size, &p.Size)
		for _, r := range words[1:] {
			p.Refs = append(p.Refs, root(r))
		}
		parts = append(parts, p)
	}
	return sortedParts(parts)
}

// rootsOf returns the roots of parts by their names.
func rootsOf(parts []rootfs.Part, names ...string) (roots []string) {
	for _, p := range parts {
		for _, name := range names {
			if p.Name[digestLen+1:] == name {
				roots = append(roots, p.Root)
			}
		}
	}
	return roots
}

// show writes groups as names: those of a group in the order of names, and the groups in their order.
func show(groups [][]rootfs.Part) string {
	var all []string
	for _, parts := range groups {
		names := make(map[string]bool)
		for _, p := range parts {
			names[p.Name[digestLen+1:]] = true
		}
		all = append(all, strings.Join(sortedKeys(names), " "))
	}
	return strings.Join(all, " | ")
}

// TestPopularityContest checks the two examples in closure-graph.py of nixpkgs: A to G have the popularities 1 2 3 4 5 9 2,
// and foo to tux 1 2 4 6.
func TestPopularityContest(t *testing.T) {
	for _, tt := range []struct {
		parts []rootfs.Part
		limit int
		want  string
	}{
		{graphOf("A:1 B G", "B:1 C E", "C:1 D E", "D:1 F", "E:1 F", "F:1", "G:1"), 99, "F | E | D | C | B | G | A"},
		{graphOf("A:1 B G", "B:1 C E", "C:1 D E", "D:1 F", "E:1 F", "F:1", "G:1"), 3, "F | E | A B C D G"},
		{graphOf("foo:1 bar baz", "bar:1 baz", "baz:1 tux", "tux:1"), 99, "tux | baz | bar | foo"},
	} {
		if got := show(popularityContest(tt.parts, tt.limit)); got != tt.want {
			t.Errorf("popularityContest(%q, %d) = %q; want %q", show([][]rootfs.Part{tt.parts}), tt.limit, got, tt.want)
		}
	}
}

// TestPathCount checks chains: 1 for A, 2 for B and G, 3 for C, 4 for D and E, 9 for F.
func TestPathCount(t *testing.T) {
	parts := graphOf("A:1 B G", "B:1 C", "C:1 D E", "D:1 F", "E:1 F", "F:1", "G:1")
	byRoot := popularityByRoot(parts)
	got := make(map[string]int)
	for _, p := range parts {
		got[p.Name[digestLen+1:]] = byRoot[p.Root]
	}
	if d := cmp.Diff(map[string]int{"A": 1, "B": 2, "C": 3, "D": 4, "E": 4, "F": 9, "G": 2}, got); d != "" {
		t.Errorf("chains (-want +got):\n%s", d)
	}
	if got, want := show(pathCount(parts, 4)), "F | D | E | A B C G"; got != want {
		t.Errorf("pathCount = %q; want %q", got, want)
	}
}

// TestSizeFirst checks auto-layer.py by its own description: a primary object takes along what nothing else needs,
// and what several primary ones need has its own layer.
func TestSizeFirst(t *testing.T) {
	parts := graphOf("app:1 big huge own", "big:50 shared mine", "huge:90 shared", "shared:5", "mine:2", "own:1")
	for _, tt := range []struct {
		limit int
		want  string
	}{
		{1, "app big huge mine own shared"},
		{2, "huge shared | app big mine own"}, // big does not need huge, but shared is needed by huge alone of the primary ones
		{3, "huge shared | app big mine own"},
		{4, "shared | big mine | huge | app own"},
		// Then shared itself is primary, with the same layers, mine, and app with own.
		{5, "mine | shared | big | huge | app own"},
		{99, "own | mine | shared | big | huge | app"},
	} {
		if got := show(sizeFirst(parts, tt.limit)); got != tt.want {
			t.Errorf("sizeFirst, at most %d = %q; want %q", tt.limit, got, tt.want)
		}
	}
}

// TestDominated checks the example of Nixery's layers.go: E is popular, and G is big.
func TestDominated(t *testing.T) {
	parts := graphOf("A:10 E", "B:10 E", "C:10 D E", "D:10 F G", "E:10", "F:10", "G:100000001")
	roots := rootsOf(parts, "A", "B", "C", "D")
	popularity := map[string]int{"E": 1000, "D": 5}
	for _, tt := range []struct {
		limit int
		want  string
	}{
		{10, "D F | C | G | E | B | A"}, // C and D are big, too, since they need G
		{3, "D F | C | A B E G"},
		{1, "A B C D E F G"},
	} {
		got := show(dominated(parts, roots, popularity, tt.limit))
		if got != tt.want {
			t.Errorf("dominated, at most %d = %q; want %q", tt.limit, got, tt.want)
		}
	}
	// Without a popular or a big object, each root has what only it needs.
	small := graphOf("A:1 E", "B:1 E F", "E:1", "F:1")
	if got, want := show(dominated(small, rootsOf(small, "A", "B"), nil, 10)), "B F | A | E"; got != want {
		t.Errorf("dominated = %q; want %q", got, want)
	}
}

// TestDominators checks a graph with a cycle: the dominator of a node is the last one on all ways to it.
func TestDominators(t *testing.T) {
	//  0 → 1 → 3 ⇄ 4 → 5, 0 → 2 → 3, 2 → 6
	got := dominators([][]int{{1, 2}, {3}, {3, 6}, {4}, {3, 5}, nil, nil}, 0)
	if d := cmp.Diff([]int{0, 0, 0, 0, 3, 4, 2}, got); d != "" {
		t.Errorf("dominators (-want +got):\n%s", d)
	}
}

// TestLargestEach checks that the rest shares the last layer.
func TestLargestEach(t *testing.T) {
	parts := graphOf("a:1", "b:3", "c:2", "d:4")
	for limit, want := range map[int]string{1: "a b c d", 2: "d | a b c", 3: "d | b | a c", 4: "d | b | c | a", 9: "d | b | c | a"} {
		if got := show(largestEach(parts, limit)); got != want {
			t.Errorf("largestEach, at most %d = %q; want %q", limit, got, want)
		}
	}
}

// TestPopularity checks counts and names in a list of packages like that of apt-cache.
func TestPopularity(t *testing.T) {
	names, counts := countDepends([]byte("Package: libpcre2-8-0\nDepends: libc6 (>= 2.34)\n\n" +
		"Package: grep\nPre-Depends: libc6 (>= 2.34), libpcre2-8-0 (>= 10.32)\nDepends: dpkg | other, perl:any\n\nPackage: libpcre2\n"))
	if d := cmp.Diff(map[string]int{"libc6": 2, "libpcre2-8-0": 1, "dpkg": 1, "perl": 1}, counts); d != "" {
		t.Errorf("countDepends (-want +got):\n%s", d)
	}
	for name, want := range map[string]string{"libpcre2-8-0-10.42-1": "libpcre2-8-0", "libpcre2-1.0": "libpcre2", "grep-3.8-5": "grep", "other-1": ""} {
		if got := debianName(name, names); got != want {
			t.Errorf("debianName(%q) = %q; want %q", name, got, want)
		}
	}
}
