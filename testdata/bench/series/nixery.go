package main

import (
	"cmp"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Nixery's thresholds for a layer of its own, from its layers.go.
const (
	nixeryBig     = 100 * 1000000 // bytes of a closure
	nixeryPopular = 100           // other packages of the distribution that refer to it
)

// dominated divides as Nixery does: layers/layers.go.
// Objects that are big or popular are reached from the root, too. Each child of the root in the tree of dominators is a layer,
// with all that it dominates. While there are too many layers, the two with the lowest ratings are merged.
// The rating is the popularity of the layer's first object, times the sizes of the closures of all.
//
// Popularity counts references in the distribution, by the names of packages with their versions. A package without a count has 1.
func dominated(parts []rootfs.Part, roots []string, popularity map[string]int, limit int) [][]rootfs.Part {
	g := newGraph(parts)
	top := len(parts) // the root of the image
	edges := append(slices.Clone(g.refs), nil)
	count := func(n int) int { return cmp.Or(popularity[parts[n].Name[digestLen+1:]], 1) }
	for n, p := range parts {
		if slices.Contains(roots, p.Root) || count(n) >= nixeryPopular || g.closureSize(n) > nixeryBig {
			edges[top] = append(edges[top], n)
		}
	}
	above := dominators(edges, top)

	type layer struct {
		parts  []rootfs.Part
		rating int64
	}
	var layers []layer
	for n := range parts {
		if above[n] != top {
			continue
		}
		var l layer
		var size int64
		for i := range parts {
			at := i
			for at != n && at != top {
				at = above[at]
			}
			if at == n {
				l.parts = append(l.parts, parts[i])
				size += g.closureSize(i)
			}
		}
		l.rating = int64(count(n)) * size
		layers = append(layers, l)
	}
	slices.SortFunc(layers, func(a, b layer) int {
		return cmp.Or(cmp.Compare(a.rating, b.rating), byName(a.parts[0], b.parts[0]))
	})
	for len(layers) > limit {
		layers[1] = layer{slices.Concat(layers[0].parts, layers[1].parts), layers[0].rating + layers[1].rating}
		layers = layers[1:]
	}
	var groups [][]rootfs.Part
	for _, l := range slices.Backward(layers) { // the highest rating is lowest in the manifest
		groups = append(groups, l.parts)
	}
	return groups
}

// dominators returns the immediate dominator of each node that the root reaches, by the algorithm of Cooper, Harvey and Kennedy.
// It is the root for the root itself.
func dominators(edges [][]int, root int) []int {
	var postorder []int
	number := make([]int, len(edges)) // in postorder
	seen := make([]bool, len(edges))
	var visit func(n int)
	visit = func(n int) {
		seen[n] = true
		for _, next := range edges[n] {
			if !seen[next] {
				visit(next)
			}
		}
		number[n] = len(postorder)
		postorder = append(postorder, n)
	}
	visit(root)
	before := make([][]int, len(edges))
	for n, all := range edges {
		for _, next := range all {
			if seen[n] {
				before[next] = append(before[next], n)
			}
		}
	}
	const unknown = -1
	above := slices.Repeat([]int{unknown}, len(edges))
	above[root] = root
	for changed := true; changed; {
		changed = false
		for _, n := range slices.Backward(postorder) {
			if n == root {
				continue
			}
			best := unknown
			for _, p := range before[n] {
				switch {
				case above[p] == unknown:
				case best == unknown:
					best = p
				default:
					a, b := p, best
					for a != b {
						for number[a] < number[b] {
							a = above[a]
						}
						for number[b] < number[a] {
							b = above[b]
						}
					}
					best = a
				}
			}
			if above[n] != best {
				above[n], changed = best, true
			}
		}
	}
	return above
}
