package plan

import (
	"cmp"
	"container/heap"
	"slices"
)

// bin collects the parts of one layer.
type bin struct {
	parts  []int // in any order
	first  int   // the least of parts
	size   int64
	needed int // how many packages need its most needed part
}

// merge returns a bin with the parts of both, which must no longer be used.
func (b *bin) merge(h *bin) *bin {
	if len(b.parts) < len(h.parts) {
		b, h = h, b
	}
	return &bin{
		parts:  append(b.parts, h.parts...),
		first:  min(b.first, h.first),
		size:   b.size + h.size,
		needed: max(b.needed, h.needed),
	}
}

// mergeSmallest merges the two smallest bins, in the place of the smallest.
func mergeSmallest(bins []*bin) []*bin {
	sorted := slices.SortedFunc(slices.Values(bins), (*bin).compare)
	bins[slices.Index(bins, sorted[0])] = sorted[0].merge(sorted[1])
	at := slices.Index(bins, sorted[1])
	return slices.Delete(bins, at, at+1)
}

// compare orders bins by size, and equal ones in path order.
func (b *bin) compare(h *bin) int {
	return cmp.Or(cmp.Compare(b.size, h.size), cmp.Compare(b.first, h.first))
}

// binHeap has the smallest bin first.
type binHeap []*bin

func (h binHeap) Len() int           { return len(h) }
func (h binHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h binHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *binHeap) Push(b any)        { *h = append(*h, b.(*bin)) }

func (h *binHeap) Pop() any {
	n := len(*h) - 1
	b := (*h)[n]
	*h = (*h)[:n]
	return b
}

// mergeTwo merges the two smallest bins.
func (h *binHeap) mergeTwo() {
	b := heap.Pop(h).(*bin)
	(*h)[0] = (*h)[0].merge(b)
	heap.Fix(h, 0)
}
