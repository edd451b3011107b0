package profile

// Before says of each object that roots need which one is before it on the shortest chain from a root.
// From a root alone, these are the chains of [Graph.Why]; of several roots, it is the nearest one's, or else the first one's.
// Before a root there is "".
func (g *Graph) Before(roots ...Path) map[Path]Path {
	before := make(map[Path]Path, len(g.Infos))
	var queue []int
	visit := func(i int, from Path) {
		p := g.Infos[i].Path
		if _, ok := before[p]; !ok {
			before[p] = from
			queue = append(queue, i)
		}
	}
	for _, r := range roots {
		if i, ok := g.at[r]; ok {
			visit(i, "")
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, j := range g.refs[queue[0]] { // sorted, so that of chains of a length the first in path order is found
			visit(j, g.Infos[queue[0]].Path)
		}
	}
	return before
}

// Dominators says of each object that roots need which other one it would leave with, the nearest one:
// all chains from the roots lead through it. It is "" if there is none.
// An object, those that have it as their dominator, those that have these, and so on, are what [Graph.Without] finds.
//
// The algorithm is that of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
func (g *Graph) Dominators(roots ...Path) map[Path]Path {
	const unknown = -1
	// Objects are numbered as a depth-first search leaves them, and what comes before all roots last.
	isRoot := newBitset(len(g.Infos))
	var from []int
	for _, r := range roots {
		if i, ok := g.at[r]; ok && isRoot.add(i) {
			from = append(from, i)
		}
	}
	left := g.leave(from)
	number := make([]int, len(g.Infos))
	for n, i := range left {
		number[i] = n
	}
	start := len(left)
	back := make([][]int, start) // by number
	for n, i := range left {
		for _, j := range g.refs[i] {
			back[number[j]] = append(back[number[j]], n)
		}
		if isRoot.has(i) {
			back[n] = append(back[n], start)
		}
	}
	dominator := make([]int, start+1)
	for n := range dominator {
		dominator[n] = unknown
	}
	dominator[start] = start
	for changed := true; changed; {
		changed = false
		for n := start - 1; n >= 0; n-- {
			common := unknown
			for _, m := range back[n] {
				switch {
				case dominator[m] == unknown: // not yet known
				case common == unknown:
					common = m
				default:
					for a, b := common, m; ; {
						if a == b {
							common = a
							break
						}
						if a < b {
							a = dominator[a]
						} else {
							b = dominator[b]
						}
					}
				}
			}
			if dominator[n] != common {
				dominator[n] = common
				changed = true
			}
		}
	}
	dominators := make(map[Path]Path, start)
	for n, i := range left {
		dominators[g.Infos[i].Path] = ""
		if d := dominator[n]; d != start {
			dominators[g.Infos[i].Path] = g.Infos[left[d]].Path
		}
	}
	return dominators
}
