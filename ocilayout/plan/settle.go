package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
)

// sticky finds out what is visible of the previous layers that are kept.
type sticky struct {
	planner  *planner
	options  StickyOptions
	most     int // layers
	previous []Candidate
	wanted   map[string]int // the planner's part of that name
	all      int64          // bytes of all parts

	keep []bool // for each previous layer

	// What settle finds:
	shown  []int    // for each part, the previous layer that shows it, or nowhere
	shows  []int    // for each previous layer, how many parts it shows
	lives  []int64  // for each previous layer, their bytes
	deads  []int64  // for each kept layer, the bytes of objects that it does not show
	live   int64    // of all kept layers
	dead   int64    // of all kept layers
	hidden []string // roots of what must be made invisible, sorted

	report Summary
}

const nowhere = -1

// copyOf is an object that is visible in a layer.
type copyOf struct {
	layer int
	hash  string
}

func (s *sticky) index() error {
	s.wanted = make(map[string]int, len(s.planner.parts))
	for i, p := range s.planner.parts {
		if (p.Root == "") != (p.Name == history.BaseName) || p.Root != "" && p.Root != history.StoreDir+"/"+p.Name {
			return fmt.Errorf("%s: %q: only store objects and the base files can be planned by a previous image", p.Name, p.Root)
		}
		s.wanted[p.Name] = i
		s.all += p.Size
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
	s.keep, s.shows, s.lives, s.deads = make([]bool, n), make([]int, n), make([]int64, n), make([]int64, n)
	s.shown = make([]int, len(s.planner.parts))
	s.settle()
	return nil
}

// wants says whether an object is one of the parts.
func (s *sticky) wants(o history.Object) bool {
	i, ok := s.wanted[o.Name]
	return ok && o.Hash != "" && o.Hash == history.Hash(s.planner.parts[i].Key)
}

// settle finds out what is visible of the kept layers, and gives up those that cannot be kept:
// those that would show something under the name of a part that is not that part, and those that show nothing of use.
// Without such a layer, what it has hidden may be visible, so that this goes on until nothing changes.
func (s *sticky) settle() {
	for {
		visible := s.visible()
		s.measure(visible)
		if !s.giveUp(func(i int) bool { return s.misleads(i, visible) }) &&
			!s.giveUp(func(i int) bool { return s.shows[i] == 0 && len(s.previous[i].Hidden) == 0 }) &&
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

// giveUpOne gives up the uppermost layer that shows nothing. What it hides may be of use in another one.
func (s *sticky) giveUpOne() bool {
	for i, kept := range slices.Backward(s.keep) {
		if kept && s.shows[i] == 0 {
			s.keep[i] = false
			return true
		}
	}
	return false
}

// visible is the copies of each object that an unpacker of the kept layers would have, the uppermost last.
func (s *sticky) visible() map[string][]copyOf {
	visible := make(map[string][]copyOf)
	for i, l := range s.previous {
		if !s.keep[i] {
			continue
		}
		for _, name := range l.Hidden {
			delete(visible, name)
		}
		for _, o := range l.Objects {
			visible[o.Name] = append(visible[o.Name], copyOf{i, o.Hash})
		}
	}
	return visible
}

// misleads says whether a layer shows another object than the one that is wanted under the same name.
// The base files are nowhere but in their own layer, so that they mislead if they are not wanted at all.
func (s *sticky) misleads(i int, visible map[string][]copyOf) bool {
	for _, o := range s.previous[i].Objects {
		_, named := s.wanted[o.Name]
		if (named || o.Name == history.BaseName) && !s.wants(o) && slices.Contains(visible[o.Name], copyOf{i, o.Hash}) {
			return true
		}
	}
	return false
}

// measure finds out who shows what.
func (s *sticky) measure(visible map[string][]copyOf) {
	for i := range s.shown {
		s.shown[i] = nowhere
	}
	clear(s.shows)
	clear(s.lives)
	clear(s.deads)
	s.live, s.dead, s.hidden = 0, 0, nil
	for name := range visible {
		if _, ok := s.wanted[name]; !ok && name != history.BaseName {
			s.hidden = append(s.hidden, history.StoreDir+"/"+name)
		}
	}
	slices.Sort(s.hidden)
	for i, l := range s.previous {
		if !s.keep[i] {
			continue
		}
		for _, o := range l.Objects {
			// Below an equal copy, an object is as dead as under a whiteout.
			copies := visible[o.Name]
			if s.wants(o) && len(copies) > 0 && copies[len(copies)-1].layer == i {
				n := s.wanted[o.Name]
				s.shown[n] = i
				s.shows[i]++
				s.lives[i] += s.planner.parts[n].Size
			} else {
				s.deads[i] += o.Size
			}
		}
		s.live += s.lives[i]
		s.dead += s.deads[i]
	}
}

// mayWaste is how many bytes may be dead, whatever else the image has.
func (s *sticky) mayWaste() int64 {
	return (s.all + s.dead) / 100 * int64(s.options.MaxWaste)
}

func (s *sticky) kept() int {
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

// worst is the kept layer with the most dead bytes; of equal ones, the uppermost.
func (s *sticky) worst() int {
	return s.best(func(a, b int) int { return cmp.Compare(s.deads[b], s.deads[a]) })
}

// least is the kept layer with the fewest bytes of use; of equal ones, the uppermost.
func (s *sticky) least() int {
	return s.best(func(a, b int) int { return cmp.Compare(s.lives[a], s.lives[b]) })
}

// best is the kept layer that comes first; there is one.
func (s *sticky) best(compare func(a, b int) int) int {
	best := nowhere
	for i, kept := range s.keep {
		if kept && (best == nowhere || compare(i, best) <= 0) {
			best = i
		}
	}
	return best
}
