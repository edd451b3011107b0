package profile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// letter returns the path of the object that tests call by a letter.
func letter(name byte) Path {
	return Path(nixStore + "/" + strings.Repeat(string(name), digestLen) + "-" + string(name))
}

// graphOf makes a graph from lines "a: b c". The sizes are 1, 2, 4… in path order, so every sum is unique.
func graphOf(t *testing.T, text string) *Graph {
	t.Helper()
	c := &Closure{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		info := &Info{Path: letter(words[0][0])}
		for _, w := range words[1:] {
			info.References = append(info.References, letter(w[0]))
		}
		c.Infos = append(c.Infos, info)
	}
	slices.SortFunc(c.Infos, func(a, b *Info) int { return strings.Compare(string(a.Path), string(b.Path)) })
	for i, info := range c.Infos {
		info.NarSize = 1 << i
	}
	return NewGraph(c)
}

func letters(paths []Path) string {
	var b strings.Builder
	for _, p := range paths {
		b.WriteString(p.Name())
	}
	return b.String()
}

func TestGraph(t *testing.T) {
	for _, tt := range []struct {
		name, text, order string
		sizes             string // of closures, in path order
	}{
		{"one", "a:", "a", "1"},
		{"itself", "a: a", "a", "1"},
		{"chain", "a: b\nb: c\nc:", "cba", "7 6 4"},
		{"diamond", "a: b c\nb: d\nc: d\nd:", "dbca", "15 10 12 8"},
		{"reversed", "d: b c\nb: a\nc: a\na:", "abcd", "1 3 5 15"},
		{"two roots", "a: c\nb: c\nc:", "cab", "5 6 4"},
		{"cycle", "a: b\nb: c\nc: b d\nd:", "dcba", "15 14 14 8"},
		{"two cycles", "a: b\nb: a c\nc: d\nd: c", "dcba", "15 15 12 12"},
	} {
		g := graphOf(t, tt.text)
		var order []Path
		for _, info := range g.Order() {
			order = append(order, info.Path)
		}
		var sizes []string
		for _, info := range g.Infos {
			sizes = append(sizes, fmt.Sprint(g.ClosureSize(info.Path)))
		}
		if got := strings.Join(sizes, " "); letters(order) != tt.order || got != tt.sizes {
			t.Errorf("%s: order %q, closure sizes %q; want %q, %q", tt.name, letters(order), got, tt.order, tt.sizes)
		}
	}
}

func TestWithout(t *testing.T) {
	g := graphOf(t, "a: b c\nb: d e\nc: e\nd: d\ne: f\nf: b")
	for _, tt := range []struct {
		gone byte
		want string
	}{{'b', "bd"}, {'c', "c"}, {'e', "ef"}, {'a', "abcdef"}, {'z', ""}} {
		var got []Path
		for _, info := range g.Without(letter(tt.gone), letter('a')) {
			got = append(got, info.Path)
		}
		if letters(got) != tt.want {
			t.Errorf("Without(%c) = %q; want %q", tt.gone, letters(got), tt.want)
		}
	}
}

// TestGraphRandom checks closure sizes against a plain walk, and the other answers for consistency, on random graphs.
func TestGraphRandom(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &Closure{}
		n := 1 + r.IntN(40)
		for i := range n {
			info := &Info{Path: Path(fmt.Sprintf("%s/%032d-x", nixStore, i)), NarSize: int64(1 + r.IntN(1000))}
			for range r.IntN(4) {
				info.References = append(info.References, Path(fmt.Sprintf("%s/%032d-x", nixStore, r.IntN(n))))
			}
			info.References = sortPaths(info.References)
			c.Infos = append(c.Infos, info)
		}
		g := NewGraph(c)
		for _, info := range c.Infos {
			var want int64
			seen := map[Path]bool{info.Path: true}
			for queue := []Path{info.Path}; len(queue) > 0; queue = queue[1:] {
				at := c.Infos[g.at[queue[0]]]
				want += at.NarSize
				for _, ref := range at.References {
					if !seen[ref] {
						seen[ref] = true
						queue = append(queue, ref)
					}
				}
			}
			if got := g.ClosureSize(info.Path); got != want {
				t.Fatalf("seed %d: ClosureSize(%s) = %d; want %d", seed, info.Path, got, want)
			}
			for other := range seen {
				if chain := g.Why(info.Path, other); len(chain) == 0 {
					t.Fatalf("seed %d: Why(%s, %s) = %v; want a way", seed, info.Path, other, chain)
				}
			}
		}
		if got := len(g.Order()); got != n {
			t.Errorf("seed %d: Order has %d of %d objects", seed, got, n)
		}
	}
}

func BenchmarkGraph(b *testing.B) { // 10,000 paths, 200,000 references
	r := rand.New(rand.NewPCG(1, 1))
	c := &Closure{}
	for i := range 10000 {
		info := &Info{Path: Path(fmt.Sprintf("%s/%032d-x", nixStore, i)), NarSize: 1}
		for range min(i, 20) {
			info.References = append(info.References, Path(fmt.Sprintf("%s/%032d-x", nixStore, r.IntN(i))))
		}
		info.References = sortPaths(info.References)
		c.Infos = append(c.Infos, info)
	}
	for b.Loop() {
		NewGraph(c).ClosureSize(c.Infos[0].Path)
	}
}
