package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// DefaultMaxWaste is the part of an image that may be dead, in percent, if nothing else is said.
const DefaultMaxWaste = 10

// StickyOptions say how Sticky divides.
type StickyOptions struct {
	Options // MaxLayers 0 means 60 for a new image, and 120 for what becomes of it

	// MaxWaste is how much of an image may be dead, in percent of all that its layers hold:
	// objects that layers still hold and nothing sees. 0 means nothing.
	MaxWaste int
}

// Candidate is a layer of the previous image.
type Candidate struct {
	history.Claim
	Size int64 // of its blob
}

// Summary is what a sticky plan comes to.
type Summary struct {
	// The previous image's layers are kept as they are, rebuilt in some new layer, or dropped with all they hold.
	Kept, Rebuilt, Dropped int
	Added                  int // layers that are new

	New    int64 // bytes of the objects in new layers, not compressed
	Reused int64 // bytes of the kept layers' blobs: what a registry has already
	Unused int64 // bytes of the objects in kept layers that nothing sees, not compressed
	Size   int64 // bytes of all that is visible, not compressed

	// Reasons say why layers were rebuilt that could have been kept, and, if Repacked, why none was.
	Repacked bool
	Reasons  []string
}

// Sticky divides parts into layers as New does, but so that most of a previous image is used again, in the same bytes.
//
//   - A layer whose objects are all gone is dropped.
//   - A layer whose objects are all still there, under the same names with the same hashes, is kept as it is.
//   - A layer with objects that are gone is kept, too, and these are hidden by the last layer (Layer.Hidden),
//     as long as what is dead does not exceed MaxWaste. Then those layers with the most of it are rebuilt.
//   - What no kept layer shows is in new layers above the kept ones, divided as New would.
//   - The base part is not a store object, and cannot be hidden. The layer that has it is kept
//     only if nothing else changes, so that what the last layer hides is always decided anew.
//   - When layers run out, the smallest are rebuilt together.
//   - When that or the waste would rebuild more than half of what could be kept, everything is planned anew.
//     A layer that comes out as it was is used again even so.
//
// Whatever the previous image's layers hold and hide, what is visible is exactly the parts.
// Without a previous image this is New.
func Sticky(parts []rootfs.Part, previous []Candidate, o StickyOptions) ([]Group, Summary, error) {
	layers, report, err := planSticky(parts, previous, o)
	if err != nil {
		return nil, Summary{}, fmt.Errorf("plan layers: %w", err)
	}
	for _, l := range layers {
		if l.Reuse > 0 {
			report.Reused += previous[l.Reuse-1].Size
			continue
		}
		report.Added++
		for _, p := range l.Parts {
			report.New += p.Size
		}
	}
	return layers, report, nil
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
	s := &sticky{planner: p, options: o, previous: previous, most: o.mostLayers()}
	if err := s.index(); err != nil {
		return nil, Summary{}, err
	}
	if s.unchanged() {
		return s.result(nil)
	}

	s.keepable()
	could := s.live
	s.boundWaste()
	s.boundLayers()
	if (could-s.live)*2 > could {
		return s.repack()
	}
	return s.result(p.divide(s.missing(), s.room()))
}

// mostLayers is how many layers an image may come to have.
func (o StickyOptions) mostLayers() int {
	if o.Mode == ModeSingle {
		return 1
	}
	return cmp.Or(o.MaxLayers, MaxLayers) - o.BaseLayers
}

// unchanged says whether the previous image is the one that is wanted.
func (s *sticky) unchanged() bool {
	if len(s.previous) > s.most || len(s.previous) == 0 {
		return false
	}
	for i := range s.previous {
		s.keep[i] = s.fits(i)
	}
	s.settle()
	return !slices.Contains(s.keep, false) && len(s.hidden) == 0 && s.dead <= s.mayWaste() &&
		!slices.Contains(s.shown, nowhere)
}

// keepable settles on the layers that could be kept if there were no limits.
func (s *sticky) keepable() {
	for i, l := range s.previous {
		s.keep[i] = s.fits(i) && !l.Holds(history.BaseName)
	}
	s.settle()
}

// fits says whether a layer is one that the mode would have made.
func (s *sticky) fits(i int) bool {
	return s.options.Mode != ModePerPath || len(s.previous[i].Objects) == 1
}

// boundWaste rebuilds layers until no more is dead than may be, those with the most of it first.
func (s *sticky) boundWaste() {
	n := 0
	for s.dead > s.mayWaste() {
		s.rebuild(s.worst())
		n++
	}
	if n > 0 {
		s.reasonf("%s rebuilt: more than %d %% would be dead", layersAre(n), s.options.MaxWaste)
	}
	// Only a layer with a part can hide something.
	n = 0
	for len(s.hidden) > 0 && !slices.Contains(s.shown, nowhere) {
		s.rebuild(s.worst())
		n++
	}
	if n > 0 {
		s.reasonf("%s rebuilt: there is no other new one that could hide what is gone", layersAre(n))
	}
}

// boundLayers rebuilds the smallest layers when there is no room for the new ones,
// and with them some more, so that the next images find room.
func (s *sticky) boundLayers() {
	kept := s.kept()
	room := min(2, max(1, s.most/2))
	if s.options.Mode == ModePerPath || kept+room <= s.most {
		return // however many there are
	}
	need := min(s.natural(), room)
	if kept+need <= s.most {
		return
	}
	n := 0
	for target := s.most - max(need, s.most/8); s.kept() > target; n++ {
		s.rebuild(s.least())
	}
	s.reasonf("%s rebuilt, the smallest: there were %d of at most %d", layersAre(n), kept, s.most)
}

// room is how many new layers there may be: half of what is left, so that the next images find room.
func (s *sticky) room() int {
	kept := s.kept()
	if kept == 0 {
		return s.planner.most
	}
	left := s.most - kept
	return max((left+1)/2, min(2, left))
}

// natural is how many new layers there would be if there were no limit.
func (s *sticky) natural() int {
	missing := s.missing()
	return len(s.planner.divide(missing, len(missing)))
}

// missing are the parts that no kept layer shows.
func (s *sticky) missing() []bool {
	missing := make([]bool, len(s.shown))
	for i := range missing {
		missing[i] = s.shown[i] == nowhere
	}
	return missing
}

// repack plans everything anew. Layers that come out as they were are kept.
func (s *sticky) repack() ([]Group, Summary, error) {
	was := make(map[string]int, len(s.previous))
	for i, l := range s.previous {
		if !slices.ContainsFunc(l.Objects, func(o history.Object) bool { return o.Hash == "" }) {
			was[l.String()] = i
		}
	}
	clear(s.keep)
	s.settle()
	s.reasonf("everything is planned anew: that would rebuild more than half of what could be kept")
	s.report.Repacked = true
	all := make([]bool, len(s.shown))
	for i := range all {
		all[i] = true
	}
	layers := s.planner.groups(s.planner.divide(all, s.planner.most))
	for i, l := range layers {
		if n, ok := was[history.ClaimOf(l.Parts, l.Hidden).String()]; ok {
			layers[i].Reuse = n + 1
			s.keep[n] = true
		}
	}
	s.count()
	return layers, s.report, nil
}

// result is the kept layers, and above them the new ones.
func (s *sticky) result(bins []*bin) ([]Group, Summary, error) {
	var layers []Group
	for i := range s.previous {
		if s.keep[i] {
			layers = append(layers, Group{Reuse: i + 1})
		}
	}
	at := s.layersBefore()
	for n, i := range s.shown {
		if i != nowhere {
			l := &layers[at[i]]
			l.Parts = append(l.Parts, s.planner.parts[n])
		}
	}
	layers = append(layers, s.planner.groups(bins)...)
	if len(s.hidden) > 0 {
		layers[len(layers)-1].Hidden = s.hidden
	}
	s.count()
	return layers, s.report, nil
}

// layersBefore is the place of each kept layer in the image.
func (s *sticky) layersBefore() []int {
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

// count says what became of the previous layers.
func (s *sticky) count() {
	s.report.Unused, s.report.Size = s.dead, s.all
	for i, l := range s.previous {
		switch {
		case s.keep[i]:
			s.report.Kept++
		case slices.ContainsFunc(l.Objects, s.wants):
			s.report.Rebuilt++
		default:
			s.report.Dropped++
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
	s.report.Reasons = append(s.report.Reasons, fmt.Sprintf(format, args...))
}
