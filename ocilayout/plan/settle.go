package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/history"
)

// sticky decides which previous layers are kept, and tracks what they show.
type sticky struct {
	planner   *planner
	options   StickyOptions
	maxLayers int // limit for the image
	previous  []Candidate
	layers    []heldLayer // what the previous layers hold
	names     []heldName  // all names that these mention
	size      int64       // total bytes of all parts

	keep []bool // for each previous layer, whether it is kept

	// settle sets these:
	shownBy     []int   // for each part, the kept layer that shows it, or nowhere
	shownParts  []int   // for each previous layer, the number of parts that it shows
	usedBytes   []int64 // for each previous layer, the bytes of these parts
	unusedBytes []int64 // for each previous layer, if it is kept, the bytes of objects that it does not show
	used        int64   // sum of usedBytes
	unused      int64   // sum of unusedBytes
	hidden      []int   // names of objects that a new layer must hide

	summary Summary
}

const nowhere = -1

// heldLayer is a previous layer, with names as indexes of sticky.names.
type heldLayer struct {
	objects []heldObject
	hidden  []int
}

// heldObject is an object in a previous layer.
type heldObject struct {
	name   int
	isPart bool // it is the part of its name
	size   int64
}

// heldName is the name of an object in the previous layers, or of one that they hide.
type heldName struct {
	name string
	part int // the part of that name, or nowhere

	// settle sets these:
	hiddenIn int // the uppermost kept layer that hides the name, or nowhere
	shownIn  int // the uppermost kept layer that holds it and that no other hides it from, or nowhere
}

// indexParts checks the input, and prepares s without any kept layer.
func (s *sticky) indexParts() error {
	partByName := make(map[string]int, len(s.planner.parts))
	for i, p := range s.planner.parts {
		if (p.Root == "") != (p.Name == history.BaseName) || p.Root != "" && p.Root != s.planner.store.Object(p.Name) {
			return fmt.Errorf("%s: %q: only store objects and the base files can be planned from a previous image", p.Name, p.Root)
		}
		partByName[p.Name] = i
		s.size += p.Size
	}
	numbers := make(map[string]int)
	number := func(name string) int {
		n, ok := numbers[name]
		if !ok {
			n = len(s.names)
			numbers[name] = n
			part, ok := partByName[name]
			if !ok {
				part = nowhere
			}
			s.names = append(s.names, heldName{name: name, part: part})
		}
		return n
	}
	var total int64
	for i, l := range s.previous {
		if err := l.Check(); err != nil {
			return fmt.Errorf("previous layer %d: %w: %w", i+1, history.ErrForeign, err)
		}
		if l.StoreDir != s.planner.store {
			return fmt.Errorf("the previous image has the store directory %s, not %s", l.StoreDir, s.planner.store)
		}
		held := heldLayer{objects: make([]heldObject, len(l.Objects))}
		for k, o := range l.Objects {
			if o.Size < 0 || o.Size > maxSize-total {
				return fmt.Errorf("previous layer %d: %w: it has too many bytes", i+1, history.ErrForeign)
			}
			total += o.Size
			n := number(o.Name)
			held.objects[k] = heldObject{n, s.isPart(o, s.names[n].part), o.Size}
		}
		for _, name := range l.Hidden {
			held.hidden = append(held.hidden, number(name))
		}
		s.layers = append(s.layers, held)
	}
	n := len(s.previous)
	s.keep, s.shownParts, s.usedBytes, s.unusedBytes = make([]bool, n), make([]int, n), make([]int64, n), make([]int64, n)
	s.shownBy = make([]int, len(s.planner.parts))
	s.settle()
	return nil
}

// isPart reports whether an object is the part of its name, which may be nowhere.
func (s *sticky) isPart(o history.Object, part int) bool {
	if part == nowhere || o.Hash == "" {
		return false
	}
	p := s.planner.parts[part]
	return o.Hash == history.Hash(p.Key) && o.Changed == p.Changed
}

// settle finds out what the kept layers show, and gives up layers that cannot stay:
// those that show another object under the name of a part, and those that show no part.
// Without such a layer, objects that it has hidden may show again, so settle repeats until nothing changes.
func (s *sticky) settle() {
	for {
		s.findShown()
		s.measure()
		if !s.giveUp(s.showsOther) &&
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

// findShown finds where the kept layers show and hide each name.
func (s *sticky) findShown() {
	for i := range s.names {
		s.names[i].hiddenIn, s.names[i].shownIn = nowhere, nowhere
	}
	for i, l := range s.layers {
		if !s.keep[i] {
			continue
		}
		for _, n := range l.hidden {
			s.names[n].hiddenIn, s.names[n].shownIn = i, nowhere
		}
		for _, o := range l.objects {
			s.names[o.name].shownIn = i
		}
	}
}

// showsOther reports whether a layer shows an object under the name of a part that is another object. Another layer may show
// the name, too: then a node has the files of both. Base files count even without a base part, since a whiteout cannot hide them.
func (s *sticky) showsOther(i int) bool {
	for _, o := range s.layers[i].objects {
		n := s.names[o.name]
		if !o.isPart && (n.part != nowhere || n.name == history.BaseName) && n.hiddenIn < i {
			return true
		}
	}
	return false
}

// measure sets the results of settle.
func (s *sticky) measure() {
	for i := range s.shownBy {
		s.shownBy[i] = nowhere
	}
	clear(s.shownParts)
	clear(s.usedBytes)
	clear(s.unusedBytes)
	s.used, s.unused, s.hidden = 0, 0, s.hidden[:0]
	for i, n := range s.names {
		if n.shownIn != nowhere && n.part == nowhere && n.name != history.BaseName {
			s.hidden = append(s.hidden, i)
		}
	}
	for i, l := range s.layers {
		if !s.keep[i] {
			continue
		}
		for _, o := range l.objects {
			// Below an equal copy, an object is as unused as under a whiteout.
			if n := s.names[o.name]; o.isPart && n.shownIn == i {
				s.shownBy[n.part] = i
				s.shownParts[i]++
				s.usedBytes[i] += s.planner.parts[n.part].Size
			} else {
				s.unusedBytes[i] += o.size
			}
		}
		s.used += s.usedBytes[i]
		s.unused += s.unusedBytes[i]
	}
}

// hiddenRoots returns the roots of the objects that a new layer must hide, sorted.
func (s *sticky) hiddenRoots() []string {
	roots := make([]string, len(s.hidden))
	for i, n := range s.hidden {
		roots[i] = s.planner.store.Object(s.names[n].name)
	}
	slices.Sort(roots)
	return roots
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
