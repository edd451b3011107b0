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

// WhyAll returns all chains between two objects: it maps each object on a chain to the references that lead on.
// References nearest to the end come first, otherwise they are in path order.
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

// distances returns for each object how many references away from to it is, or -1 if it does not need to.
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
