package profile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDominators(t *testing.T) {
	for _, tt := range []struct {
		name, text, roots  string
		predecessors, want string // for a, b, c…; "-" stands for none, "." for an object that the roots don't need
	}{
		{"chain", "a: b\nb: c\nc:", "a", "-ab", "-ab"},
		{"diamond", "a: b c\nb: d\nc: d\nd: e\ne:", "a", "-aabd", "-aaad"},
		{"long and short", "a: b d\nb: c\nc: d\nd:", "a", "-aba", "-aba"},
		{"two roots", "a: c\nb: c d\nc:\nd:", "ab", "--ab", "---b"},
		{"a root needs another", "a: b\nb: c\nc:", "ab", "--b", "--b"},
		{"not needed", "a: b\nb:\nc: b", "a", "-a.", "-a."},
		{"cycle", "a: b\nb: c\nc: b d\nd:", "a", "-abc", "-abc"},
		{"cycle with two entries", "a: b c\nb: c\nc: b d\nd:", "a", "-aac", "-aac"},
		{"itself", "a: a b\nb: b", "a", "-a", "-a"},
	} {
		g := graphOf(t, tt.text)
		var roots []Path
		for _, r := range []byte(tt.roots) {
			roots = append(roots, letter(r))
		}
		show := func(m map[Path]Path) string {
			s := ""
			for _, info := range g.Infos {
				switch p, ok := m[info.Path]; {
				case !ok:
					s += "."
				case p == "":
					s += "-"
				default:
					s += p.Name()
				}
			}
			return s
		}
		if got := show(g.Predecessors(roots...)); got != tt.predecessors {
			t.Errorf("%s: Predecessors(%s) = %s; want %s", tt.name, tt.roots, got, tt.predecessors)
		}
		if got := show(g.Dominators(roots...)); got != tt.want {
			t.Errorf("%s: Dominators(%s) = %s; want %s", tt.name, tt.roots, got, tt.want)
		}
	}
}

// TestDominatorsRandom checks that Predecessors agrees with Why, and Dominators with Without, on random graphs.
func TestDominatorsRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := &Closure{}
		n := 1 + r.IntN(30)
		for i := range n {
			info := &Info{Path: Path(fmt.Sprintf("%s/%032d-x", nixStore, i)), NarSize: 1}
			for range r.IntN(4) {
				info.References = append(info.References, Path(fmt.Sprintf("%s/%032d-x", nixStore, r.IntN(n))))
			}
			info.References = sortPaths(info.References)
			c.Infos = append(c.Infos, info)
		}
		g := NewGraph(c)
		var roots []Path
		for range 1 + r.IntN(2) {
			roots = append(roots, c.Infos[r.IntN(n)].Path)
		}
		predecessors, dominators := g.Predecessors(roots...), g.Dominators(roots...)
		for _, info := range c.Infos {
			p := info.Path
			_, needed := predecessors[p]
			_, also := dominators[p]
			if needed != also || needed != slices.ContainsFunc(roots, func(r Path) bool { return g.Why(r, p) != nil }) {
				t.Fatalf("seed %d: %s: predecessors %t, dominators %t", seed, p, needed, also)
			}
			if !needed {
				continue
			}
			chain := []Path{p}
			for predecessors[chain[0]] != "" {
				chain = slices.Insert(chain, 0, predecessors[chain[0]])
			}
			var want []Path
			for _, r := range roots {
				if c := g.Why(r, p); c != nil && (want == nil || len(c) < len(want)) {
					want = c
				}
			}
			if !slices.Equal(chain, want) {
				t.Errorf("seed %d: chain to %s by Predecessors = %s; want %s, like Why", seed, p, chain, want)
			}
			var gone []Path
			for _, other := range c.Infos {
				for at := other.Path; at != ""; at = dominators[at] {
					if _, ok := dominators[at]; ok && at == p {
						gone = append(gone, other.Path)
					}
				}
			}
			want = nil
			for _, info := range g.Without(p, roots...) {
				if _, ok := dominators[info.Path]; ok { // otherwise the roots do not need it even with p
					want = append(want, info.Path)
				}
			}
			if !slices.Equal(gone, want) {
				t.Errorf("seed %d: objects dominated by %s = %s; want %s, like Without", seed, p, gone, want)
			}
		}
	}
}
