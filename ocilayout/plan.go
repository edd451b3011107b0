package ocilayout

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Layer is what becomes one layer of an image.
type Layer struct {
	Parts []rootfs.Part
	// Hidden are the roots of parts of layers below that this one makes invisible (whiteouts), sorted.
	Hidden []string
}

// Size is about how many bytes it holds.
func (l Layer) Size() int64 {
	var n int64
	for _, p := range l.Parts {
		n += p.Size
	}
	return n
}

// Limits of a plan. Docker mounts at most 125 layers, and there must be room
// for those that others put on top.
const (
	defaultLayers = 60
	mostLayers    = 120

	smallest = 1 << 20 // a layer of small parts has about this many bytes at least,
	enough   = 4 << 20 // and about this many at most
)

// PlanOptions say how Plan divides. The zero value is right.
type PlanOptions struct {
	MaxLayers int // 0 means 60; at most 120
}

// Plan divides parts into layers, so that an update of a few parts changes few bytes.
// It does not open a file, and the order of its input does not matter.
//
// A part of 1 MiB or more is a layer by itself. Smaller ones are together with those
// that are needed by the same packages, which are what the base part's Refs refer to;
// tiny groups are merged until they have 1 MiB, and large ones are divided at 4 MiB.
// While there are too many layers, the two smallest become one.
//
// What most packages need comes first, and then parts in path order.
// The profiles (the base part's Refs) and the base part, which change with every release, come last:
// small profiles in one layer with the base part, large ones before it.
func Plan(parts []rootfs.Part, o PlanOptions) ([]Layer, error) {
	most := cmp.Or(o.MaxLayers, defaultLayers)
	if most < 0 || most > mostLayers {
		return nil, fmt.Errorf("plan layers: at most %d layers: want 1 to %d", o.MaxLayers, mostLayers)
	}
	sorted := slices.Clone(parts)
	slices.SortFunc(sorted, func(a, b rootfs.Part) int { return rootfs.ComparePaths(a.Root, b.Root) })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; a.Root == b.Root {
			return nil, fmt.Errorf("plan layers: %s: %q: %w: %s is there", b.Name, b.Root, fs.ErrExist, a.Name)
		}
	}

	p := newPlanner(sorted)
	body, tail := p.body(), p.tail()
	for len(tail) > 1 && len(tail)+min(1, len(body)) > most {
		n := len(tail)
		tail = append(tail[:n-2], tail[n-2].merge(tail[n-1]))
	}
	for len(body) > 0 && len(body)+len(tail) > most {
		if len(body) == 1 {
			body, tail[0] = nil, body[0].merge(tail[0])
			break
		}
		body = mergeSmallest(body)
	}
	slices.SortFunc(body, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.needed, a.needed), cmp.Compare(a.parts[0], b.parts[0]))
	})

	layers := make([]Layer, 0, len(body)+len(tail))
	for _, g := range append(body, tail...) {
		l := Layer{Parts: make([]rootfs.Part, len(g.parts))}
		for i, n := range g.parts {
			l.Parts[i] = sorted[n]
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// planner knows who needs whom. Parts are known by their place in path order.
type planner struct {
	parts    []rootfs.Part
	refs     [][]int
	profiles []bool
	needs    []string // the packages that need each part, a bit each; equal strings, equal sets
	needed   []int    // how many these are
}

// group is the parts of a layer to be.
type group struct {
	parts  []int // in path order
	size   int64
	needed int // by how many packages the most needed one is
}

func newPlanner(parts []rootfs.Part) *planner {
	p := &planner{
		parts:    parts,
		refs:     make([][]int, len(parts)),
		profiles: make([]bool, len(parts)),
		needs:    make([]string, len(parts)),
		needed:   make([]int, len(parts)),
	}
	at := make(map[string]int, len(parts))
	for i, part := range parts {
		at[part.Root] = i
	}
	wanted := make([]bool, len(parts))
	based := len(parts) > 0 && parts[0].Root == ""
	for i, part := range parts {
		for _, ref := range part.Refs {
			n, ok := at[ref]
			switch {
			case !ok || n == i:
			case part.Root == "":
				p.profiles[n] = true
			default:
				p.refs[i] = append(p.refs[i], n)
				wanted[n] = true
			}
		}
	}

	// Without a base part, the packages are what nothing else refers to.
	packages := make([]bool, len(parts))
	for i := range parts {
		switch {
		case p.profiles[i]:
			for _, n := range p.refs[i] {
				packages[n] = !p.profiles[n]
			}
		case !based:
			packages[i] = !wanted[i]
		}
	}
	p.spread(packages)
	return p
}

// spread finds for each part the packages that need it: those that reach it, and itself if it is one.
func (p *planner) spread(packages []bool) {
	sets := make([][]byte, len(p.parts))
	bit := 0
	seen := make([]int, len(p.parts)) // the last package that reached it, from 1
	var todo []int
	for i, is := range packages {
		if !is {
			continue
		}
		bit++
		seen[i] = bit
		for todo = append(todo[:0], i); len(todo) > 0; {
			n := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			for len(sets[n]) <= bit/8 {
				sets[n] = append(sets[n], 0)
			}
			sets[n][bit/8] |= 1 << (bit % 8)
			p.needed[n]++
			for _, ref := range p.refs[n] {
				if seen[ref] != bit {
					seen[ref] = bit
					todo = append(todo, ref)
				}
			}
		}
	}
	for i, set := range sets {
		p.needs[i] = string(set)
	}
}

func (p *planner) group(n ...int) *group {
	g := &group{parts: n}
	for _, n := range n {
		g.size += p.parts[n].Size
		g.needed = max(g.needed, p.needed[n])
	}
	return g
}

// body is the layers below the profiles and the base part.
func (p *planner) body() []*group {
	var large, small []*group
	open := make(map[string]*group) // by who needs it: the group that is not full
	for i, part := range p.parts {
		switch {
		case part.Root == "" || p.profiles[i]:
		case part.Size >= smallest:
			large = append(large, p.group(i))
		default:
			g := open[p.needs[i]]
			if g == nil || g.size+part.Size > enough {
				g = p.group()
				open[p.needs[i]] = g
				small = append(small, g)
			}
			*g = *g.merge(p.group(i))
		}
	}
	for len(small) > 1 {
		least := slices.MinFunc(small, func(a, b *group) int { return cmp.Compare(a.size, b.size) })
		if least.size >= smallest {
			break
		}
		small = mergeSmallest(small)
	}
	return append(large, small...)
}

// tail is the layers of the profiles and the base part.
func (p *planner) tail() []*group {
	var tail []*group
	last := p.group()
	for i, part := range p.parts {
		switch {
		case p.profiles[i] && part.Size >= smallest:
			tail = append(tail, p.group(i))
		case part.Root == "" || p.profiles[i]:
			last = last.merge(p.group(i))
		}
	}
	if len(last.parts) > 0 {
		tail = append(tail, last)
	}
	return tail
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

// mergeSmallest makes one group of the two smallest; among equal ones, of the first in path order.
func mergeSmallest(groups []*group) []*group {
	less := func(a, b *group) bool {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.parts[0], b.parts[0])) < 0
	}
	a, b := 0, 1
	if less(groups[b], groups[a]) {
		a, b = b, a
	}
	for i, g := range groups[2:] {
		switch {
		case less(g, groups[a]):
			a, b = i+2, a
		case less(g, groups[b]):
			b = i + 2
		}
	}
	groups[a] = groups[a].merge(groups[b])
	return slices.Delete(groups, b, b+1)
}
