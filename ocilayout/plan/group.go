package plan

import (
	"cmp"
	"container/heap"
	"slices"
)

// group is the parts of a layer to be.
type group struct {
	parts  []int // in path order
	size   int64
	needed int // by how many packages the most needed one is
}

func (g *group) merge(h *group) *group {
	m := &group{
		parts:  slices.Concat(g.parts, h.parts),
		size:   g.size + h.size,
		needed: max(g.needed, h.needed),
	}
	slices.Sort(m.parts)
	return m
}

// mergeSmallest makes one group of the two smallest, in the place of the smallest.
func mergeSmallest(groups []*group) []*group {
	sorted := slices.SortedFunc(slices.Values(groups), (*group).compare)
	groups[slices.Index(groups, sorted[0])] = sorted[0].merge(sorted[1])
	at := slices.Index(groups, sorted[1])
	return slices.Delete(groups, at, at+1)
}

// compare is by size; among equal ones, the first in path order is the smaller one.
func (g *group) compare(h *group) int {
	return cmp.Or(cmp.Compare(g.size, h.size), cmp.Compare(g.parts[0], h.parts[0]))
}

// groupHeap has the smallest group first.
type groupHeap []*group

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h groupHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *groupHeap) Push(g any)        { *h = append(*h, g.(*group)) }

func (h *groupHeap) Pop() any {
	n := len(*h) - 1
	g := (*h)[n]
	*h = (*h)[:n]
	return g
}

// mergeTwo makes one group of the two smallest.
func (h *groupHeap) mergeTwo() {
	g := heap.Pop(h).(*group)
	(*h)[0] = (*h)[0].merge(g)
	heap.Fix(h, 0)
}
