package report

import (
	"cmp"
	"slices"
	"strings"
)

// change is what became of a package since the previous image, by its name.
type change struct {
	Package       string
	What          string // added, removed, changed, or rebuilt: other files of the same version
	Before, After string // versions
	Grown         int64  // bytes
}

// changes are those of all packages, by name.
func (r *Report) changes() []change {
	if r.Previous == nil {
		return nil
	}
	type state struct {
		versions, paths []string
		size            int64
	}
	collect := func(objects []Object) map[string]*state {
		all := make(map[string]*state)
		for _, o := range objects {
			s := all[o.Package]
			if s == nil {
				s = &state{}
				all[o.Package] = s
			}
			s.versions = append(s.versions, o.Version)
			s.paths = append(s.paths, o.Path)
			s.size += o.Size
		}
		for _, s := range all {
			slices.Sort(s.versions)
			slices.Sort(s.paths)
		}
		return all
	}
	was, is := collect(r.Previous.Objects), collect(r.Objects)
	var names []string
	for name := range was {
		names = append(names, name)
	}
	for name := range is {
		if was[name] == nil {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	list := func(versions []string) string { return strings.Join(slices.Compact(slices.Clone(versions)), ", ") }
	var changes []change
	for _, name := range names {
		before, after := was[name], is[name]
		switch {
		case before == nil:
			changes = append(changes, change{name, "added", "", list(after.versions), after.size})
		case after == nil:
			changes = append(changes, change{name, "removed", list(before.versions), "", -before.size})
		case slices.Equal(before.paths, after.paths):
		case slices.Equal(before.versions, after.versions):
			changes = append(changes, change{name, "rebuilt", list(before.versions), list(after.versions), after.size - before.size})
		default:
			changes = append(changes, change{name, "changed", list(before.versions), list(after.versions), after.size - before.size})
		}
	}
	return changes
}
