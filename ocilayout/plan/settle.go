package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// sticky decides which previous layers are kept, and tracks what they show.
type sticky struct {
	planner    *planner
	options    StickyOptions
	maxLayers  int // limit for the image
	previous   []Candidate
	partByName map[string]int // indexes of the planner's parts
	size       int64          // total bytes of all parts

	keep []bool // for each previous layer, whether it is kept

	// settle sets these:
	shownBy     []int    // for each part, the kept layer that shows it, or nowhere
	shownParts  []int    // for each previous layer, the number of parts that it shows
	usedBytes   []int64  // for each previous layer, the bytes of these parts
	unusedBytes []int64  // for each previous layer, if it is kept, the bytes of objects that it does not show
	used        int64    // sum of usedBytes
	unused      int64    // sum of unusedBytes
	hidden      []string // roots of objects that a new layer must hide, sorted

	summary Summary
}

const nowhere = -1

// objectCopy is one copy of an object, in a layer.
type objectCopy struct {
	layer int
	hash  string
}

// indexParts checks the input, and prepares s without any kept layer.
func (s *sticky) indexParts() error {
	s.partByName = make(map[string]int, len(s.planner.parts))
	for i, p := range s.planner.parts {
		if (p.Root == "") != (p.Name == history.BaseName) || p.Root != "" && p.Root != rootfs.StoreDir+"/"+p.Name {
			return fmt.Errorf("%s: %q: only store objects and the base files can be planned from a previous image", p.Name, p.Root)
		}
		s.partByName[p.Name] = i
		s.size += p.Size
	}
	var total int64
	for i, l := range s.previous {
		if err := l.Check(); err != nil {
			return fmt.Errorf("previous layer %d: %w: %w", i+1, history.ErrForeign, err)
		}
		for _, o := range l.Objects {
			if o.Size < 0 || o.Size > maxSize-total {
				return fmt.Errorf("previous layer %d: %w: it has too many bytes", i+1, history.ErrForeign)
			}
			total += o.Size
		}
	}
	n := len(s.previous)
	s.keep, s.shownParts, s.usedBytes, s.unusedBytes = make([]bool, n), make([]int, n), make([]int64, n), make([]int64, n)
	s.shownBy = make([]int, len(s.planner.parts))
	s.settle()
	return nil
}

// isPart reports whether an object is one of the parts.
func (s *sticky) isPart(o history.Object) bool {
	i, ok := s.partByName[o.Name]
	return ok && o.Hash != "" && o.Hash == history.Hash(s.planner.parts[i].Key) && o.Changed == s.planner.parts[i].Changed
}

// settle finds out what the kept layers show, and gives up layers that cannot stay:
// those that show another object under the name of a part, and those that show no part.
// Without such a layer, objects that it has hidden may show again, so settle repeats until nothing changes.
func (s *sticky) settle() {
	for {
		visible := s.visible()
		s.measure(visible)
		if !s.giveUp(func(i int) bool { return s.showsOther(i, visible) }) &&
			!s.giveUp(func(i int) bool { return s.shownParts[i] == 0 && len(s.previous[i].Hidden) == 0 }) &&
			!s.giveUpOne() {
			return
		}
	}
}

func (s *sticky) giveUp(bad func(i int) bool) bool {
	some := false
	for i, kept := range s.keep {
		if kept && bad(i) {
			s.keep[i], some = false, true
		}
	}
	return some
}

// giveUpOne gives up the uppermost layer that shows no part. After that, a lower layer may show a part that it hid.
func (s *sticky) giveUpOne() bool {
	for i, kept := range slices.Backward(s.keep) {
		if kept && s.shownParts[i] == 0 {
			s.keep[i] = false
			return true
		}
	}
	return false
}

// visible returns the copies of each object, by name, that no kept layer hides. The uppermost copy is last.
func (s *sticky) visible() map[string][]objectCopy {
	visible := make(map[string][]objectCopy)
	for i, l := range s.previous {
		if !s.keep[i] {
			continue
		}
		for _, name := range l.Hidden {
			delete(visible, name)
		}
		for _, o := range l.Objects {
			visible[o.Name] = append(visible[o.Name], objectCopy{i, o.Hash})
		}
	}
	return visible
}

// showsOther reports whether a layer shows an object under the name of a part that is another object.
// Base files count even without a base part, since a whiteout cannot hide them.
func (s *sticky) showsOther(i int, visible map[string][]objectCopy) bool {
	for _, o := range s.previous[i].Objects {
		_, named := s.partByName[o.Name]
		if (named || o.Name == history.BaseName) && !s.isPart(o) && slices.Contains(visible[o.Name], objectCopy{i, o.Hash}) {
			return true
		}
	}
	return false
}

// measure sets the results of settle.
func (s *sticky) measure(visible map[string][]objectCopy) {
	for i := range s.shownBy {
		s.shownBy[i] = nowhere
	}
	clear(s.shownParts)
	clear(s.usedBytes)
	clear(s.unusedBytes)
	s.used, s.unused, s.hidden = 0, 0, nil
	for name := range visible {
		if _, ok := s.partByName[name]; !ok && name != history.BaseName {
			s.hidden = append(s.hidden, rootfs.StoreDir+"/"+name)
		}
	}
	slices.Sort(s.hidden)
	for i, l := range s.previous {
		if !s.keep[i] {
			continue
		}
		for _, o := range l.Objects {
			// Below an equal copy, an object is as unused as under a whiteout.
			copies := visible[o.Name]
			if s.isPart(o) && len(copies) > 0 && copies[len(copies)-1].layer == i {
				n := s.partByName[o.Name]
				s.shownBy[n] = i
				s.shownParts[i]++
				s.usedBytes[i] += s.planner.parts[n].Size
			} else {
				s.unusedBytes[i] += o.Size
			}
		}
		s.used += s.usedBytes[i]
		s.unused += s.unusedBytes[i]
	}
}

// maxUnused returns how many bytes of the kept layers may be unused.
func (s *sticky) maxUnused() int64 {
	return (s.size + s.unused) / 100 * int64(s.options.MaxWaste)
}

func (s *sticky) keptCount() int {
	n := 0
	for _, kept := range s.keep {
		if kept {
			n++
		}
	}
	return n
}

func (s *sticky) rebuild(i int) {
	s.keep[i] = false
	s.settle()
}

// mostUnused returns the kept layer with the most unused bytes. Of equal ones it takes the uppermost.
func (s *sticky) mostUnused() int {
	return s.firstKept(func(a, b int) int { return cmp.Compare(s.unusedBytes[b], s.unusedBytes[a]) })
}

// leastUsed returns the kept layer with the fewest used bytes. Of equal ones it takes the uppermost.
func (s *sticky) leastUsed() int {
	return s.firstKept(func(a, b int) int { return cmp.Compare(s.usedBytes[a], s.usedBytes[b]) })
}

// firstKept returns the first kept layer by compare. At least one layer must be kept.
func (s *sticky) firstKept(compare func(a, b int) int) int {
	best := nowhere
	for i, kept := range s.keep {
		if kept && (best == nowhere || compare(i, best) <= 0) {
			best = i
		}
	}
	return best
}
