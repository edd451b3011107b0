package report

import "strings"

// Change is how a package differs from what the previous image has of it.
// Which packages differ, and by what, is for those to say who compare images everywhere else, too.
type Change struct {
	Package        string
	Removed, Added []string // versions that only one of both has; an empty one is a package without a version
	Before, After  int64    // bytes of all its objects
}

// what happened to the package. No object is empty, so that none are left if there are no bytes.
func (c Change) what() string {
	switch {
	case c.Before == 0 && len(c.Removed) == 0:
		return "added"
	case c.After == 0 && len(c.Added) == 0:
		return "removed"
	case len(c.Removed)+len(c.Added) == 0:
		return "rebuilt" // the same versions with other files
	}
	return "changed"
}

// versions are as a table shows them. Of a package that comes or goes without a version there is nothing to show.
func (c Change) versions() (before, after string) {
	show := func(versions []string) string {
		words := make([]string, len(versions))
		for i, v := range versions {
			if v == "" && c.what() == "changed" {
				v = "none"
			}
			words[i] = v
		}
		return strings.Join(words, ", ")
	}
	return show(c.Removed), show(c.Added)
}

// since are how many objects the previous image has not, and how many only it has.
func (r *Report) since() (added, removed int) {
	is := make(map[string]bool)
	for i, n := range r.isNew() {
		is[r.Objects[i].Path] = true
		if n {
			added++
		}
	}
	for _, o := range r.Previous.Objects {
		if !is[o.Path] {
			removed++
		}
	}
	return added, removed
}
