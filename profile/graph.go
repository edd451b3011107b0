package profile

import (
	"math/bits"
	"slices"
	"sync"
)

// Graph answers questions about the references in a closure, without its store.
// Its methods may be called from several goroutines at once.
type Graph struct {
	Infos []*Info // of the closure, sorted by path

	at    map[Path]int
	refs  [][]int // sorted, without the object itself
	order []int   // what is needed first

	closures sync.Once // finds what follows, which not everybody asks for
	sizes    []int64   // of closures
	group    []int     // whose closure: objects of a cycle have one
}

// NewGraph looks at all references of a closure. What they lead to is in the closure.
func NewGraph(c *Closure) *Graph {
	g := &Graph{Infos: c.Infos, at: make(map[Path]int, len(c.Infos))}
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
	g.sort()
	return g
}

// Order is the closure with what is needed first, as nix path-info -r lists it:
// each object follows its references, and otherwise objects are in path order.
func (g *Graph) Order() []*Info {
	infos := make([]*Info, len(g.order))
	for i, at := range g.order {
		infos[i] = g.Infos[at]
	}
	return infos
}

// sort is a depth-first search from all objects in path order, which notes each object when it leaves it.
func (g *Graph) sort() {
	all := make([]int, len(g.Infos))
	for i := range all {
		all[i] = i
	}
	g.order = g.leave(all)
}

// leave is the order in which a depth-first search from some objects leaves them, and all that they need.
func (g *Graph) leave(from []int) (left []int) {
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
			left = append(left, top.at)
			stack = stack[:len(stack)-1]
		}
	}
	return left
}

// close adds up what each object reaches: those of its references and itself.
// Meanwhile it takes memory for a bit a pair of paths: 12 MB for 10,000.
// Nix makes no cycles of several objects, but sources may say so: the objects of one reach the same.
// The cycles are found as Kosaraju does: backwards from what is noted last.
func (g *Graph) close() {
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
	// Groups that others need come after these.
	reach := make([]bitset, len(groups))
	g.sizes = make([]int64, len(groups))
	for k, group := range slices.Backward(groups) {
		// Most of what a group reaches is what the largest that it refers to does, whose size is known.
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
				if g.group[j] != k && !set.has(j) { // else it is all there
					size += set.or(reach[g.group[j]], narSizes)
				}
			}
		}
		reach[k], g.sizes[k] = set, size
	}
}

// References are the other objects that one refers to, in path order.
func (g *Graph) References(p Path) []Path {
	var refs []Path
	if i, ok := g.at[p]; ok {
		for _, j := range g.refs[i] {
			refs = append(refs, g.Infos[j].Path)
		}
	}
	return refs
}

// ClosureSize is the sum of the NAR sizes of an object and of all that it needs, in bytes, as nix path-info -S says it.
func (g *Graph) ClosureSize(p Path) int64 {
	if i, ok := g.at[p]; ok {
		g.closures.Do(g.close)
		return g.sizes[g.group[i]]
	}
	return 0
}

// Without is what the roots would no longer need if nothing referred to an object: it and what only it leads to.
// Of an object that is a root, this is what only that root needs.
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

// add says whether it is new.
func (s bitset) add(i int) bool {
	if s.has(i) {
		return false
	}
	s[i/64] |= 1 << (i % 64)
	return true
}

// or adds a set, and adds up what each number stands for that is new.
func (s bitset) or(t bitset, of []int64) (sum int64) {
	for k, w := range t {
		w &^= s[k]
		s[k] |= w
		for ; w != 0; w &= w - 1 {
			sum += of[k*64+bits.TrailingZeros64(w)]
		}
	}
	return sum
}
