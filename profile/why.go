package profile

import "slices"

// Why returns the shortest chain of references from one object to another, including both, or nil if there is none.
// Among equally short chains it chooses the first in path order, like nix why-depends.
func (g *Graph) Why(from, to Path) []Path {
	start, ok := g.at[from]
	distance := g.distances(to)
	if !ok || distance == nil || distance[start] < 0 {
		return nil
	}
	chain := []Path{from}
	for at := start; distance[at] > 0; {
		next := -1
		for _, j := range g.refs[at] { // sorted
			if distance[j] >= 0 && (next < 0 || distance[j] < distance[next]) {
				next = j
			}
		}
		at = next
		chain = append(chain, g.Infos[at].Path)
	}
	return chain
}

// Predecessors maps each object that the roots need to the object before it on the shortest chain from a root,
// and each root to "". With a single root, these are the chains of [Graph.Why].
// With several, a chain starts at the nearest root, and among equally near ones at the first.
func (g *Graph) Predecessors(roots ...Path) map[Path]Path {
	predecessors := make(map[Path]Path, len(g.Infos))
	var queue []int
	visit := func(i int, from Path) {
		p := g.Infos[i].Path
		if _, ok := predecessors[p]; !ok {
			predecessors[p] = from
			queue = append(queue, i)
		}
	}
	for _, r := range roots {
		if i, ok := g.at[r]; ok {
			visit(i, "")
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, j := range g.refs[queue[0]] { // sorted, so the first of several shortest chains wins
			visit(j, g.Infos[queue[0]].Path)
		}
	}
	return predecessors
}

// WhyAll returns all chains between two objects: it maps each object on one to those of its references that lead to the end.
// References nearest to the end come first, and equally near ones are in path order.
func (g *Graph) WhyAll(from, to Path) map[Path][]Path {
	start, ok := g.at[from]
	distance := g.distances(to)
	if !ok || distance == nil || distance[start] < 0 {
		return nil
	}
	ways := make(map[Path][]Path)
	queue := []int{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		p := g.Infos[at].Path
		if _, ok := ways[p]; ok {
			continue
		}
		var on []int
		if p != to {
			for _, j := range g.refs[at] {
				if distance[j] >= 0 {
					on = append(on, j)
				}
			}
		}
		slices.SortStableFunc(on, func(a, b int) int { return distance[a] - distance[b] })
		ways[p] = make([]Path, len(on))
		for i, j := range on {
			ways[p][i] = g.Infos[j].Path
		}
		queue = append(queue, on...)
	}
	return ways
}

// distances returns, for each object, the length of the shortest chain from it to the given one, or -1 if there is none.
func (g *Graph) distances(to Path) []int {
	end, ok := g.at[to]
	if !ok {
		return nil
	}
	back := make([][]int, len(g.Infos))
	for i, refs := range g.refs {
		for _, j := range refs {
			back[j] = append(back[j], i)
		}
	}
	distance := make([]int, len(g.Infos))
	for i := range distance {
		distance[i] = -1
	}
	distance[end] = 0
	for queue := []int{end}; len(queue) > 0; queue = queue[1:] {
		for _, i := range back[queue[0]] {
			if distance[i] < 0 {
				distance[i] = distance[queue[0]] + 1
				queue = append(queue, i)
			}
		}
	}
	return distance
}
