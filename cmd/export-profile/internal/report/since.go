package report

import "strings"

// Change is the difference of a package between the previous image and this one.
// The caller computes it, with the code that compares images everywhere else.
type Change struct {
	Package        string
	Removed, Added []string // versions that only one of the images has; "" is a package without a version
	Before, After  int64    // bytes of all its objects
}

// what names what happened to the package. No object is empty, so 0 bytes mean that there is none.
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

// versions formats versions for a table. A package without a version has nothing to show when it comes or goes.
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

// since counts the objects that the previous image lacks, and those that only it has.
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
