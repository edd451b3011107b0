package report

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// pathChange is a store path that only one of two images has, or a pair of them: a package was updated or rebuilt.
type pathChange struct {
	before, now *Object // nil if that image has none
	what        string  // added, removed, updated, rebuilt or altered
}

func (c pathChange) sizes() (before, now int64) {
	if c.before != nil {
		before = c.before.Size
	}
	if c.now != nil {
		now = c.now.Size
	}
	return before, now
}

func (c pathChange) difference() int64 {
	before, now := c.sizes()
	return now - before
}

func (c pathChange) name() string {
	if c.now != nil {
		return c.now.Name
	}
	return c.before.Name
}

// output returns what tells the outputs of a package apart: its name, and the end of the version, as in openssl-3.0-dev.
func (o *Object) output() string {
	_, end, _ := strings.Cut(o.Version, "-")
	if !strings.ContainsFunc(end[:min(1, len(end))], unicode.IsLetter) {
		end = ""
	}
	return o.Package + "\x00" + end
}

// pathChanges returns the store paths that differ, those with the largest differences first.
func (r *Report) pathChanges() []pathChange {
	is := make(map[string]*Object, len(r.Objects))
	for i := range r.Objects {
		is[r.Objects[i].Path] = &r.Objects[i]
	}
	var all []pathChange
	gone := make(map[string][]*Object) // by output, those with the smallest name first
	was := make(map[string]*Object)
	for i := range r.Previous.Objects {
		o := &r.Previous.Objects[i]
		was[o.Path] = o
		if is[o.Path] == nil {
			gone[o.output()] = append(gone[o.output()], o)
		}
	}
	byName := func(a, b *Object) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path)) }
	for _, some := range gone {
		slices.SortFunc(some, byName)
	}
	var added []*Object
	for i, isNew := range r.isNew() {
		if isNew {
			added = append(added, &r.Objects[i])
		}
	}
	slices.SortFunc(added, byName)
	for _, o := range added {
		c := pathChange{now: o, what: "added"}
		if some := gone[o.output()]; len(some) > 0 {
			c.before, gone[o.output()] = some[0], some[1:]
			if c.what = "updated"; c.before.Name == o.Name {
				c.what = "rebuilt"
			}
		}
		all = append(all, c)
	}
	for _, some := range gone {
		for _, o := range some {
			all = append(all, pathChange{before: o, what: "removed"})
		}
	}
	for _, i := range r.Previous.Altered {
		o := &r.Objects[i]
		all = append(all, pathChange{before: was[o.Path], now: o, what: "altered"})
	}
	slices.SortFunc(all, func(a, b pathChange) int { // of a map, so the order has to be total
		x, y := max(a.difference(), -a.difference()), max(b.difference(), -b.difference())
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(a.name(), b.name()), cmp.Compare(a.path(), b.path()), cmp.Compare(a.what, b.what))
	})
	return all
}

func (c pathChange) path() string {
	if c.now != nil {
		return c.now.Path
	}
	return c.before.Path
}
