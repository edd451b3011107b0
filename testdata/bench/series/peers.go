package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// This file divides store objects into layers as other programs do, by their published algorithms.
// Where an algorithm leaves the order of equals to chance, we take the order of names, which changes least from release to release.

// graph holds the references of an image's store objects. A node is an index of parts.
type graph struct {
	parts []rootfs.Part
	refs  [][]int
	users [][]int
}

func newGraph(parts []rootfs.Part) graph {
	g := graph{parts, make([][]int, len(parts)), make([][]int, len(parts))}
	at := make(map[string]int, len(parts))
	for i, p := range parts {
		at[p.Root] = i
	}
	for i, p := range parts {
		for _, r := range p.Refs {
			if n, ok := at[r]; ok && n != i {
				g.refs[i] = append(g.refs[i], n)
				g.users[n] = append(g.users[n], i)
			}
		}
	}
	return g
}

// reach returns what from reaches over edges, without itself.
func reach(edges [][]int, from int) []bool {
	seen := make([]bool, len(edges))
	for todo := []int{from}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, next := range edges[n] {
			if !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	seen[from] = false
	return seen
}

// order returns the nodes so that each comes before those that it refers to.
func (g graph) order() []int {
	var order []int
	seen := make([]bool, len(g.parts))
	var visit func(n int)
	visit = func(n int) {
		seen[n] = true
		for _, r := range g.refs[n] {
			if !seen[r] {
				visit(r)
			}
		}
		order = append(order, n)
	}
	for n := range g.parts {
		if !seen[n] {
			visit(n)
		}
	}
	slices.Reverse(order)
	return order
}

// closureSize returns the bytes of a node and of all that it needs.
func (g graph) closureSize(n int) int64 {
	size := g.parts[n].Size
	for i, ok := range reach(g.refs, n) {
		if ok {
			size += g.parts[i].Size
		}
	}
	return size
}

// byName compares parts by name, and equal names by digest.
func byName(a, b rootfs.Part) int {
	return cmp.Or(cmp.Compare(a.Name[digestLen:], b.Name[digestLen:]), cmp.Compare(a.Name, b.Name))
}

func (g graph) named(nodes []int) []rootfs.Part {
	parts := make([]rootfs.Part, len(nodes))
	for i, n := range nodes {
		parts[i] = g.parts[n]
	}
	return parts
}

// sizeFirst divides as dockerTools of nixpkgs does since 2025: pkgs/build-support/docker/auto-layer.py.
// It takes the largest objects one after the other as primary ones. A layer holds what the same set of primary objects needs,
// not counting those that others of the set need. It stops before there would be more than limit layers.
func sizeFirst(parts []rootfs.Part, limit int) [][]rootfs.Part {
	g := newGraph(parts)
	bySize := make([]int, len(parts))
	for i := range bySize {
		bySize[i] = i
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(parts[a].Size, parts[b].Size) })

	split := make([]map[int]bool, len(parts)) // for each part, the primary ones that name its layer; never changed
	for i := range split {
		split[i] = map[int]bool{}
	}
	for len(bySize) > 0 {
		primary := bySize[len(bySize)-1]
		bySize = bySize[:len(bySize)-1]
		next := slices.Clone(split)
		next[primary] = map[int]bool{primary: true}
		deps, users := reach(g.refs, primary), reach(g.users, primary)
		for dep, ok := range deps {
			if !ok {
				continue
			}
			set, needed := map[int]bool{}, false
			for n := range next[dep] {
				if !users[n] {
					set[n] = true
					needed = needed || deps[n]
				}
			}
			if !needed {
				set[primary] = true
			}
			next[dep] = set
		}
		if len(groupSets(next)) > limit {
			break
		}
		split = next
	}

	type layer struct {
		parts   []rootfs.Part
		closure int64
	}
	var layers []layer
	for _, nodes := range groupSets(split) {
		all := make([]bool, len(parts))
		for _, n := range nodes {
			all[n] = true
			for i, ok := range reach(g.refs, n) {
				all[i] = all[i] || ok
			}
		}
		l := layer{parts: g.named(nodes)}
		for i, ok := range all {
			if ok {
				l.closure += parts[i].Size
			}
		}
		slices.SortFunc(l.parts, byName)
		layers = append(layers, l)
	}
	slices.SortStableFunc(layers, func(a, b layer) int { return cmp.Compare(a.closure, b.closure) })
	var groups [][]rootfs.Part
	for _, l := range layers {
		groups = append(groups, l.parts)
	}
	return groups
}

// groupSets groups the indexes of equal sets, by the first index.
func groupSets(sets []map[int]bool) [][]int {
	var groups [][]int
	at := make(map[string]int)
	for i, set := range sets {
		var name strings.Builder
		members := make([]int, 0, len(set))
		for n := range set {
			members = append(members, n)
		}
		slices.Sort(members)
		for _, n := range members {
			name.WriteRune(rune(n))
		}
		n, ok := at[name.String()]
		if !ok {
			n = len(groups)
			at[name.String()] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], i)
	}
	return groups
}

// popularityContest divides as dockerTools did before 2025: pkgs/build-support/references-by-popularity/closure-graph.py.
// The most popular objects have a layer each; the last layer has the rest.
func popularityContest(parts []rootfs.Part, limit int) [][]rootfs.Part {
	g := newGraph(parts)
	order := g.order()
	contest := make([][]int, len(parts)) // for each part, how popular it makes those below it
	add := func(to []int, child int) {
		to[child]++
		for n, popularity := range contest[child] {
			if popularity > 0 {
				to[n] += popularity + 1
			}
		}
	}
	for _, n := range slices.Backward(order) {
		contest[n] = make([]int, len(parts))
		for _, r := range g.refs[n] {
			add(contest[n], r)
		}
	}
	popularity := make([]int, len(parts))
	for n := range parts {
		if len(g.users[n]) == 0 {
			add(popularity, n)
		}
	}
	return oneEach(g.sorted(popularity), limit)
}

// pathCount divides as nix2container does: closure/popularity.go and nix/layers.go.
// It is as popular as there are chains of references to an object, from any other and from itself.
func pathCount(parts []rootfs.Part, limit int) [][]rootfs.Part {
	g := newGraph(parts)
	return oneEach(g.sorted(g.pathCounts()), limit)
}

func (g graph) pathCounts() []int {
	popularity := make([]int, len(g.parts))
	for _, n := range g.order() {
		popularity[n]++
		for _, r := range g.refs[n] {
			popularity[r] += popularity[n]
		}
	}
	return popularity
}

// sorted returns the parts, the most popular ones first.
func (g graph) sorted(popularity []int) []rootfs.Part {
	nodes := make([]int, len(g.parts))
	for i := range nodes {
		nodes[i] = i
	}
	slices.SortFunc(nodes, func(a, b int) int {
		return cmp.Or(cmp.Compare(popularity[b], popularity[a]), byName(g.parts[a], g.parts[b]))
	})
	return g.named(nodes)
}

// oneEach puts each part into a layer, and the rest into the last of limit layers.
func oneEach(parts []rootfs.Part, limit int) [][]rootfs.Part {
	var groups [][]rootfs.Part
	for len(parts) > 0 {
		n := 1
		if len(groups) == limit-1 {
			n = len(parts)
		}
		groups = append(groups, parts[:n])
		parts = parts[n:]
	}
	return groups
}

// largestEach gives the largest parts a layer each, and puts the rest into one.
func largestEach(parts []rootfs.Part, limit int) [][]rootfs.Part {
	sorted := slices.SortedFunc(slices.Values(parts), func(a, b rootfs.Part) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), byName(a, b))
	})
	return oneEach(sorted, limit)
}
