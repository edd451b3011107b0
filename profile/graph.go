package profile

import (
	"math/bits"
	"slices"
	"sync"
)

// Graph answers questions about the references in a closure. It does not use the store.
// Several goroutines may use it at once.
type Graph struct {
	Infos    []*Info // of the closure, sorted by path
	StoreDir StoreDir

	at    map[Path]int
	refs  [][]int // sorted, without self-references
	order []int   // references come before the objects that need them

	findSizes sync.Once // sets the rest, which few callers need
	sizes     []int64   // closure size of each group
	group     []int     // of each object: the objects of a cycle form one
}

// NewGraph makes the graph of a closure. It ignores references that lead out of c.Infos.
func NewGraph(c *Closure) *Graph {
	g := &Graph{Infos: c.Infos, StoreDir: c.StoreDir, at: make(map[Path]int, len(c.Infos))}
	for i, info := range c.Infos {
		g.at[info.Path] = i
	}
	g.refs = make([][]int, len(g.Infos))
	for i, info := range g.Infos {
		for _, r := range info.References {
			if j, ok := g.at[r]; ok && j != i {
				g.refs[i] = append(g.refs[i], j)
			}
		}
	}
	all := make([]int, len(g.Infos))
	for i := range all {
		all[i] = i
	}
	g.order = g.postorder(all)
	return g
}

// Order returns the closure in the order of nix path-info -r:
// each object follows its references, and otherwise objects are in path order.
func (g *Graph) Order() []*Info {
	infos := make([]*Info, len(g.order))
	for i, at := range g.order {
		infos[i] = g.Infos[at]
	}
	return infos
}

// postorder returns the given objects and everything that they need, in the order in which a depth-first search leaves them.
func (g *Graph) postorder(from []int) (order []int) {
	type step struct{ at, next int }
	seen := newBitset(len(g.Infos))
	var stack []step
	for _, i := range from {
		if !seen.add(i) {
			continue
		}
		stack = append(stack, step{at: i})
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next < len(g.refs[top.at]) {
				j := g.refs[top.at][top.next]
				top.next++
				if seen.add(j) {
					stack = append(stack, step{at: j})
				}
				continue
			}
			order = append(order, top.at)
			stack = stack[:len(stack)-1]
		}
	}
	return order
}

// sumClosures sets g.group and g.sizes.
// While it runs, it needs a bit for each pair of paths: 12 MB for 10,000 paths.
// Nix makes no cycle of several objects, but a source may declare one. All objects of a cycle have the same closure,
// so they form a group. Kosaraju's algorithm finds the groups: it walks backwards from the end of the postorder.
func (g *Graph) sumClosures() {
	n := len(g.Infos)
	back := make([][]int, n)
	for i, refs := range g.refs {
		for _, j := range refs {
			back[j] = append(back[j], i)
		}
	}
	g.group = make([]int, n)
	seen := newBitset(n)
	var groups [][]int
	for _, i := range slices.Backward(g.order) {
		if !seen.add(i) {
			continue
		}
		group := []int{i}
		for at := 0; at < len(group); at++ {
			for _, j := range back[group[at]] {
				if seen.add(j) {
					group = append(group, j)
				}
			}
		}
		for _, j := range group {
			g.group[j] = len(groups)
		}
		groups = append(groups, group)
	}
	narSizes := make([]int64, n)
	for i, info := range g.Infos {
		narSizes[i] = info.NarSize
	}
	// A group comes before the groups that it needs, so walk them backwards.
	reach := make([]bitset, len(groups))
	g.sizes = make([]int64, len(groups))
	for k, group := range slices.Backward(groups) {
		// Start from the largest closure that the group refers to: it holds most of the group's own.
		set, size, largest := newBitset(n), int64(0), -1
		for _, i := range group {
			for _, j := range g.refs[i] {
				if other := g.group[j]; other != k && (largest < 0 || g.sizes[other] > g.sizes[largest]) {
					largest = other
				}
			}
		}
		if largest >= 0 {
			copy(set, reach[largest])
			size = g.sizes[largest]
		}
		for _, i := range group {
			if set.add(i) {
				size += narSizes[i]
			}
			for _, j := range g.refs[i] {
				if g.group[j] != k && !set.has(j) { // otherwise set holds j's whole closure
					size += set.or(reach[g.group[j]], narSizes)
				}
			}
		}
		reach[k], g.sizes[k] = set, size
	}
}

// References returns the other objects that p refers to, in path order.
func (g *Graph) References(p Path) []Path {
	var refs []Path
	if i, ok := g.at[p]; ok {
		for _, j := range g.refs[i] {
			refs = append(refs, g.Infos[j].Path)
		}
	}
	return refs
}

// ClosureSize returns the sum of the NAR sizes of p and of everything that it needs, like nix path-info -S.
func (g *Graph) ClosureSize(p Path) int64 {
	if i, ok := g.at[p]; ok {
		g.findSizes.Do(g.sumClosures)
		return g.sizes[g.group[i]]
	}
	return 0
}

// Without returns the objects that the roots would no longer need if nothing referred to p, including p.
// If p is a root, it returns the objects that only p needs.
func (g *Graph) Without(p Path, roots ...Path) []*Info {
	gone, ok := g.at[p]
	if !ok {
		return nil
	}
	kept := newBitset(len(g.Infos))
	var queue []int
	visit := func(i int) {
		if i != gone && kept.add(i) {
			queue = append(queue, i)
		}
	}
	for _, r := range roots {
		if i, ok := g.at[r]; ok {
			visit(i)
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, j := range g.refs[i] {
			visit(j)
		}
	}
	var infos []*Info
	for i, info := range g.Infos {
		if !kept.has(i) {
			infos = append(infos, info)
		}
	}
	return infos
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// add adds i and returns whether it is new.
func (s bitset) add(i int) bool {
	if s.has(i) {
		return false
	}
	s[i/64] |= 1 << (i % 64)
	return true
}

// or adds t to s and returns the sum of the sizes of the new numbers.
func (s bitset) or(t bitset, sizes []int64) (sum int64) {
	for k, w := range t {
		w &^= s[k]
		s[k] |= w
		for ; w != 0; w &= w - 1 {
			sum += sizes[k*64+bits.TrailingZeros64(w)]
		}
	}
	return sum
}
