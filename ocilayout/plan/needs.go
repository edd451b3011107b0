package plan

import "math/bits"

// someWords is how many words of packages findNeeds takes at a time. They fill a line of the processor's cache.
const someWords = 8

// somePackages is a set of the packages that findNeeds takes at a time.
type somePackages [someWords]uint64

func (s *somePackages) add(other *somePackages) {
	for i := range s {
		s[i] |= other[i]
	}
}

func (s *somePackages) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// findNeeds finds for each part the packages that need it: those that reach it, including itself.
// It takes some packages at a time, and passes their sets along references. All parts of a component have the same set.
func (p *planner) findNeeds(packages []bool) {
	g := p.condense()
	n := len(g.ends)
	sets, needed := make([]somePackages, n), make([]bool, n) // by the current packages, for each component
	counts, numbers := make([]int, n), make([]int, n)
	type set struct {
		before  int // number of the set of earlier packages
		current somePackages
	}
	known, last := make(map[set]int), 0
	for next := 0; next < len(packages); {
		for bit := 0; next < len(packages) && bit < 64*someWords; next++ {
			if packages[next] {
				c := g.component[next]
				sets[c][bit/64] |= 1 << (bit % 64)
				needed[c] = true
				bit++
			}
		}
		// Number the sets so far: components get equal numbers if and only if their sets are equal.
		clear(known)
		for c := range sets {
			if !needed[c] {
				continue
			}
			for _, ref := range g.refsOf(c) {
				sets[ref].add(&sets[c])
				needed[ref] = true
			}
			counts[c] += sets[c].count()
			s := set{numbers[c], sets[c]}
			if known[s] == 0 {
				last++
				known[s] = last
			}
			numbers[c] = known[s]
			sets[c], needed[c] = somePackages{}, false
		}
	}
	for i, c := range g.component {
		p.needSet[i], p.needCount[i] = numbers[c], counts[c]
	}
}
