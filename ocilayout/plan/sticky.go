package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// DefaultMaxWaste is the default of --max-waste, in percent.
const DefaultMaxWaste = 10

// StickyOptions configure Sticky.
type StickyOptions struct {
	Options // MaxLayers 0 means 100 for a new image, and 120 with a previous one

	// MaxWaste limits the unused bytes, in percent of everything that the layers hold.
	// Bytes are unused if a layer holds them and the image does not show them.
	MaxWaste int
}

// Candidate is a layer of the previous image that may be kept.
type Candidate struct {
	history.Claim
	Size int64 // size of its blob
}

// Summary counts what Sticky kept and what it planned anew.
type Summary struct {
	// Layers of the previous image: kept as they are, rebuilt because new layers hold some of their objects,
	// or dropped with everything that they hold.
	Kept, Rebuilt, Dropped int
	Added                  int // new layers

	New    int64 // uncompressed bytes of the objects in new layers
	Reused int64 // bytes of the kept layers' blobs, which a registry already has
	Unused int64 // uncompressed bytes of objects in kept layers that the image does not show
	Size   int64 // uncompressed bytes of all parts

	// Repacked means that everything was planned anew.
	Repacked bool
	// Reasons say why layers were rebuilt that could have been kept.
	Reasons []string
}

// Sticky divides parts into layers like New, but reuses most layers of a previous image, byte for byte.
//
//   - A layer without any of the parts is dropped.
//   - A layer is kept if all its objects are parts, with the same names and hashes.
//   - A layer with some removed objects is kept, too, and the last layer hides these (Group.Hidden).
//     If the unused bytes then exceed MaxWaste, the layers with the most of them are rebuilt.
//   - Parts that no kept layer shows go into new layers above the kept ones, divided as New would.
//   - The base part is not a store object, and cannot be hidden. Its layer is kept
//     only if nothing else changes, so the last layer can always hide other objects than before.
//   - If there are too many layers, the smallest are rebuilt together.
//   - If the limits on layers and waste would rebuild more than half of what could be kept, everything is planned anew.
//     Even then, a layer that comes out as before is reused.
//
// The image shows exactly the parts, whatever the layers of the previous image hold and hide.
// Without a previous image, Sticky plans like New.
func Sticky(parts []rootfs.Part, previous []Candidate, o StickyOptions) ([]Group, Summary, error) {
	layers, summary, err := planSticky(parts, previous, o)
	if err != nil {
		return nil, Summary{}, fmt.Errorf("plan layers: %w", err)
	}
	for _, l := range layers {
		if l.Reuse > 0 {
			summary.Reused += previous[l.Reuse-1].Size
			continue
		}
		summary.Added++
		for _, p := range l.Parts {
			summary.New += p.Size
		}
	}
	return layers, summary, nil
}

func planSticky(parts []rootfs.Part, previous []Candidate, o StickyOptions) ([]Group, Summary, error) {
	if o.MaxWaste < 0 || o.MaxWaste > 100 {
		return nil, Summary{}, fmt.Errorf("waste of %d %%: want 0 to 100", o.MaxWaste)
	}
	p, err := newPlanner(parts, o.Options)
	if err != nil {
		return nil, Summary{}, err
	}
	if err := p.checkLimit(); err != nil {
		return nil, Summary{}, err
	}
	s := &sticky{planner: p, options: o, previous: previous, maxLayers: o.layerLimit()}
	if err := s.indexParts(); err != nil {
		return nil, Summary{}, err
	}
	if s.unchanged() {
		return s.result(nil)
	}

	s.keepAll()
	keepable := s.used
	s.boundWaste()
	s.boundLayers()
	if (keepable-s.used)*2 > keepable {
		return s.repack()
	}
	return s.result(p.divide(s.missing(), s.room()))
}

// layerLimit returns how many layers an image may have after updates.
func (o StickyOptions) layerLimit() int {
	if o.Mode == ModeSingle {
		return 1
	}
	return cmp.Or(o.MaxLayers, MaxLayers) - o.BaseLayers
}

// unchanged reports whether the previous image already shows exactly the parts. If so, it keeps all layers.
func (s *sticky) unchanged() bool {
	if len(s.previous) > s.maxLayers || len(s.previous) == 0 {
		return false
	}
	for i := range s.previous {
		s.keep[i] = s.fitsMode(i)
	}
	s.settle()
	return !slices.Contains(s.keep, false) && len(s.hidden) == 0 && s.unused <= s.maxUnused() &&
		!slices.Contains(s.shownBy, nowhere)
}

// keepAll keeps every layer that could be kept if there were no limits.
func (s *sticky) keepAll() {
	for i, l := range s.previous {
		s.keep[i] = s.fitsMode(i) && !l.Holds(history.BaseName)
	}
	s.settle()
}

// fitsMode reports whether the mode could have made a layer.
func (s *sticky) fitsMode(i int) bool {
	return s.options.Mode != ModePerPath || len(s.previous[i].Objects) == 1
}

// boundWaste rebuilds layers until the unused bytes are within MaxWaste. It begins with the layers that have the most of them.
func (s *sticky) boundWaste() {
	n := 0
	for s.unused > s.maxUnused() {
		s.rebuild(s.mostUnused())
		n++
	}
	if n > 0 {
		s.reasonf("%s rebuilt: more than %d %% would be unused", layersAre(n), s.options.MaxWaste)
	}
	// A new layer must have a part. Without one, nothing can hide the removed objects.
	n = 0
	for len(s.hidden) > 0 && !slices.Contains(s.shownBy, nowhere) {
		s.rebuild(s.mostUnused())
		n++
	}
	if n > 0 {
		s.reasonf("%s rebuilt: no other new layer could hide the removed objects", layersAre(n))
	}
}

// boundLayers rebuilds the smallest layers if there is no room for the new ones.
// It rebuilds a few more than necessary, to make room for the next images.
func (s *sticky) boundLayers() {
	kept := s.keptCount()
	room := min(2, max(1, s.maxLayers/2))
	if s.options.Mode == ModePerPath || kept+room <= s.maxLayers {
		return // there is room for any number of new layers
	}
	need := min(s.unlimited(), room)
	if kept+need <= s.maxLayers {
		return
	}
	n := 0
	for target := s.maxLayers - max(need, s.maxLayers/8); s.keptCount() > target; n++ {
		s.rebuild(s.leastUsed())
	}
	s.reasonf("%s rebuilt, the smallest: keeping %d of at most %d leaves too little room", layersAre(n), kept, s.maxLayers)
}

// room returns how many new layers there may be: half of those left, to leave room for the next images.
func (s *sticky) room() int {
	kept := s.keptCount()
	if kept == 0 {
		return s.planner.maxLayers
	}
	left := s.maxLayers - kept
	return max((left+1)/2, min(2, left))
}

// unlimited returns how many new layers there would be without a limit.
func (s *sticky) unlimited() int {
	missing := s.missing()
	return len(s.planner.divide(missing, len(missing)))
}

// missing marks the parts that no kept layer shows.
func (s *sticky) missing() []bool {
	missing := make([]bool, len(s.shownBy))
	for i := range missing {
		missing[i] = s.shownBy[i] == nowhere
	}
	return missing
}

// repack plans everything anew, and keeps layers that come out as they were.
func (s *sticky) repack() ([]Group, Summary, error) {
	byClaim := make(map[string]int, len(s.previous))
	for i, l := range s.previous {
		if !slices.ContainsFunc(l.Objects, func(o history.Object) bool { return o.Hash == "" }) {
			byClaim[l.String()] = i
		}
	}
	clear(s.keep)
	s.settle()
	s.reasonf("all layers are planned anew: otherwise more than half of the reusable bytes would be rebuilt")
	s.summary.Repacked = true
	all := make([]bool, len(s.shownBy))
	for i := range all {
		all[i] = true
	}
	layers := s.planner.groups(s.planner.divide(all, s.planner.maxLayers))
	for i, l := range layers {
		if n, ok := byClaim[history.ClaimOf(s.planner.store, l.Parts, l.Hidden).String()]; ok {
			layers[i].Reuse = n + 1
			s.keep[n] = true
		}
	}
	s.countLayers()
	return layers, s.summary, nil
}

// result returns the kept layers, and above them the bins as new layers.
func (s *sticky) result(bins []*bin) ([]Group, Summary, error) {
	var layers []Group
	for i := range s.previous {
		if s.keep[i] {
			layers = append(layers, Group{Reuse: i + 1})
		}
	}
	at := s.positions()
	for n, i := range s.shownBy {
		if i != nowhere {
			l := &layers[at[i]]
			l.Parts = append(l.Parts, s.planner.parts[n])
		}
	}
	layers = append(layers, s.planner.groups(bins)...)
	if len(s.hidden) > 0 {
		layers[len(layers)-1].Hidden = s.hiddenRoots()
	}
	s.countLayers()
	return layers, s.summary, nil
}

// positions returns each kept layer's index in the image.
func (s *sticky) positions() []int {
	at := make([]int, len(s.keep))
	n := 0
	for i, kept := range s.keep {
		at[i] = n
		if kept {
			n++
		}
	}
	return at
}

// countLayers fills in what became of the previous layers.
func (s *sticky) countLayers() {
	s.summary.Unused, s.summary.Size = s.unused, s.size
	for i, l := range s.layers {
		switch {
		case s.keep[i]:
			s.summary.Kept++
		case slices.ContainsFunc(l.objects, func(o heldObject) bool { return o.isPart }):
			s.summary.Rebuilt++
		default:
			s.summary.Dropped++
		}
	}
}

func layersAre(n int) string {
	if n == 1 {
		return "1 layer is"
	}
	return fmt.Sprintf("%d layers are", n)
}

func (s *sticky) reasonf(format string, args ...any) {
	s.summary.Reasons = append(s.summary.Reasons, fmt.Sprintf(format, args...))
}
