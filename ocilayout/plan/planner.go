package plan

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// planner holds the graph of the parts. A part is an index in path order.
type planner struct {
	store       rootfs.StoreDir
	options     Options
	maxLayers   int // limit for a new image
	parts       []rootfs.Part
	refs        [][]int32
	profiles    []bool
	needSet     []int // for each part, a number for the set of packages that need it; equal sets have equal numbers
	needCount   []int // for each part, the size of that set
	policyLayer []int // for each part, its layer in the policy, or noLine
}

// noLine marks a part without a layer in the policy.
const noLine = -1

// maxSize limits the bytes of all parts of an image, and of all objects in a previous one,
// so that no sum of them overflows.
const maxSize = 1 << 61

func newPlanner(parts []rootfs.Part, o Options) (*planner, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	parts, err := sortParts(parts)
	if err != nil {
		return nil, err
	}
	store, err := rootfs.StoreDirOf(parts)
	if err != nil {
		return nil, err
	}
	var all int64
	for _, part := range parts {
		if part.Size < 0 || part.Size > maxSize-all {
			return nil, fmt.Errorf("%s: %d bytes: want at least 0, and at most %d for all parts", part.Name, part.Size, int64(maxSize))
		}
		all += part.Size
	}
	p := &planner{
		store:     store,
		options:   o,
		maxLayers: o.limit(),
		parts:     parts,
		refs:      make([][]int32, len(parts)),
		profiles:  make([]bool, len(parts)),
		needSet:   make([]int, len(parts)),
		needCount: make([]int, len(parts)),
	}
	at := make(map[string]int32, len(parts))
	for i := range parts {
		at[parts[i].Root] = int32(i)
	}
	wanted := make([]bool, len(parts))
	hasBase := len(parts) > 0 && parts[0].Root == ""
	count := 0
	for i := range parts {
		count += len(parts[i].Refs)
	}
	refs := make([]int32, 0, count) // of all parts
	for i := range parts {
		part, first := &parts[i], len(refs)
		for _, ref := range part.Refs {
			n, ok := at[ref]
			switch {
			case !ok || n == int32(i):
			case part.Root == "":
				p.profiles[n] = true
			default:
				refs = append(refs, n)
				wanted[n] = true
			}
		}
		p.refs[i] = refs[first:len(refs):len(refs)]
	}

	// Without a base part, the packages are the parts that no other part refers to.
	packages := make([]bool, len(parts))
	for i := range parts {
		switch {
		case p.profiles[i]:
			for _, n := range p.refs[i] {
				packages[n] = !p.profiles[n]
			}
		case !hasBase:
			packages[i] = !wanted[i]
		}
	}
	p.findNeeds(packages)
	p.policyLayer, err = o.Policy.assign(parts, p.profiles)
	return p, err
}

// divide puts the included parts into at most most bins, lowest layer first.
// It merges bins of a policy only as a last resort.
func (p *planner) divide(included []bool, most int) []*bin {
	fixed, body, tail := p.policyBins(included), p.body(included), p.tail(included)
	if p.options.Mode == ModePerPath {
		return slices.Concat(fixed, body, tail)
	}
	// First merge the layers of the profiles.
	for len(tail) > 1 && len(fixed)+min(1, len(body))+len(tail) > most {
		n := len(tail)
		tail = append(tail[:n-2], tail[n-2].merge(tail[n-1]))
	}
	h := (*binHeap)(&body)
	heap.Init(h)
	for len(body) > 1 && len(fixed)+len(body)+len(tail) > most {
		h.mergeTwo()
	}
	if len(body) == 1 && len(tail) > 0 && len(fixed)+1+len(tail) > most {
		body, tail[0] = nil, body[0].merge(tail[0])
	}
	slices.SortFunc(body, func(a, b *bin) int {
		return cmp.Or(cmp.Compare(b.needed, a.needed), cmp.Compare(a.first, b.first))
	})
	bins := slices.Concat(fixed, body, tail)
	for len(bins) > max(most, 1) {
		// The last bin has the base part and stays last.
		n := len(bins)
		if n == 2 {
			return []*bin{bins[0].merge(bins[1])}
		}
		bins = append(mergeSmallest(bins[:n-1:n-1]), bins[n-1])
	}
	return bins
}

func (p *planner) groups(bins []*bin) []Group {
	layers := make([]Group, 0, len(bins))
	for _, b := range bins {
		slices.Sort(b.parts)
		l := Group{Parts: make([]rootfs.Part, len(b.parts))}
		for i, n := range b.parts {
			l.Parts[i] = p.parts[n]
		}
		layers = append(layers, l)
	}
	return layers
}

func (p *planner) newBin(parts ...int) *bin {
	b := &bin{}
	for _, n := range parts {
		p.add(b, n)
	}
	return b
}

// add adds a part to a bin.
func (p *planner) add(b *bin, n int) {
	if len(b.parts) == 0 || n < b.first {
		b.first = n
	}
	b.parts = append(b.parts, n)
	b.size += p.parts[n].Size
	b.needed = max(b.needed, p.needCount[n])
}

// policyBins returns the bins of the policy's layers, in the order of the policy.
func (p *planner) policyBins(included []bool) []*bin {
	if p.options.Policy == nil {
		return nil
	}
	lines := make([][]int, len(p.options.Policy.Layers))
	for i, line := range p.policyLayer {
		if included[i] && line != noLine {
			lines[line] = append(lines[line], i)
		}
	}
	var bins []*bin
	for _, parts := range lines {
		if len(parts) > 0 {
			bins = append(bins, p.newBin(parts...))
		}
	}
	return bins
}

// body returns the bins below those of the profiles and the base part.
func (p *planner) body(included []bool) []*bin {
	var large, small []*bin
	open := make(map[int]*bin) // the bin that is not full, by the set of packages that need its parts
	for i := range p.parts {
		part := &p.parts[i]
		switch {
		case !included[i] || p.policyLayer[i] != noLine:
		case part.Root == "" || p.profiles[i]:
		case part.Size >= minLayerBytes || p.options.Mode == ModePerPath:
			large = append(large, p.newBin(i))
		default:
			b := open[p.needSet[i]]
			if b == nil || b.size+part.Size > maxLayerBytes {
				b = p.newBin()
				open[p.needSet[i]] = b
				small = append(small, b)
			}
			p.add(b, i)
		}
	}
	h := (*binHeap)(&small)
	heap.Init(h)
	for len(small) > 1 && small[0].size < minLayerBytes {
		h.mergeTwo()
	}
	return append(large, small...)
}

// tail returns the bins of the profiles and the base part.
func (p *planner) tail(included []bool) []*bin {
	var tail []*bin
	last := p.newBin()
	for i, part := range p.parts {
		switch {
		case !included[i] || p.policyLayer[i] != noLine:
		case p.profiles[i] && (part.Size >= minProfileBytes || p.options.Mode == ModePerPath):
			tail = append(tail, p.newBin(i))
		case part.Root == "" || p.profiles[i]:
			p.add(last, i)
		}
	}
	if len(last.parts) > 0 {
		tail = append(tail, last)
	}
	return tail
}
