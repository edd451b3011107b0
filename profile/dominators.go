package profile

// Dominators maps each object that the roots need to its immediate dominator, or to "" if it has none.
// All chains from the roots to an object lead through its dominators, so the object would leave with any of them.
// [Graph.Without] returns an object and everything that it dominates, directly or not.
//
// It uses the algorithm of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
func (g *Graph) Dominators(roots ...Path) map[Path]Path {
	const unknown = -1
	// Objects are numbered in postorder. A virtual start before all roots gets the last number.
	isRoot := newBitset(len(g.Infos))
	var from []int
	for _, r := range roots {
		if i, ok := g.at[r]; ok && isRoot.add(i) {
			from = append(from, i)
		}
	}
	order := g.postorder(from)
	number := make([]int, len(g.Infos))
	for n, i := range order {
		number[i] = n
	}
	start := len(order)
	back := make([][]int, start) // by number
	for n, i := range order {
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
				case dominator[m] == unknown:
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
	for n, i := range order {
		dominators[g.Infos[i].Path] = ""
		if d := dominator[n]; d != start {
			dominators[g.Infos[i].Path] = g.Infos[order[d]].Path
		}
	}
	return dominators
}
