package plan

import "slices"

// componentGraph is the graph of strongly connected components. Two parts are in one component if each reaches the other;
// without cycles, every part is in its own. Components refer only to later ones.
type componentGraph struct {
	component []int32 // for each part
	ends      []int32 // component c refers to refs[ends[c-1]:ends[c]]
	refs      []int32
}

func (g *componentGraph) refsOf(c int) []int32 {
	if c == 0 {
		return g.refs[:g.ends[0]]
	}
	return g.refs[g.ends[c-1]:g.ends[c]]
}

const noComponent = -1

// condense finds the components with Tarjan's algorithm, which completes each after those that it refers to.
func (p *planner) condense() componentGraph {
	type visit struct{ n, next int } // next is the next reference to follow
	var path []visit
	var open []int // visited parts without a component, in the order of their visits
	complete := make([]int, 0, len(p.parts))
	visited := make([]int, len(p.parts)) // when a part was visited, from 1
	lowest := make([]int, len(p.parts))  // the first visited open part that a part is known to reach
	g := componentGraph{component: make([]int32, len(p.parts))}
	enter := func(n int) {
		path, open = append(path, visit{n: n}), append(open, n)
		visited[n] = len(complete) + len(open)
		lowest[n], g.component[n] = visited[n], noComponent
	}
	count := int32(0)
	for i := range p.parts {
		if visited[i] == 0 {
			enter(i)
		}
		for len(path) > 0 {
			v := &path[len(path)-1]
			n := v.n
			if v.next < len(p.refs[n]) {
				ref := p.refs[n][v.next]
				v.next++
				if visited[ref] == 0 {
					enter(int(ref))
				} else if g.component[ref] == noComponent {
					lowest[n] = min(lowest[n], visited[ref])
				}
				continue
			}
			if path = path[:len(path)-1]; len(path) > 0 {
				above := path[len(path)-1].n
				lowest[above] = min(lowest[above], lowest[n])
			}
			if lowest[n] < visited[n] {
				continue
			}
			for member := noComponent; member != n; {
				member = open[len(open)-1]
				open = open[:len(open)-1]
				g.component[member] = count
				complete = append(complete, member)
			}
			count++
		}
	}
	g.ends = make([]int32, 0, count)
	most := 0
	for _, refs := range p.refs {
		most += len(refs)
	}
	g.refs = make([]int32, 0, most)
	for i := range g.component {
		g.component[i] = count - 1 - g.component[i]
	}
	for _, n := range slices.Backward(complete) {
		c := g.component[n]
		for _, ref := range p.refs[n] {
			if to := g.component[ref]; to != c {
				g.refs = append(g.refs, to)
			}
		}
		g.ends = append(g.ends[:c], int32(len(g.refs)))
	}
	return g
}
