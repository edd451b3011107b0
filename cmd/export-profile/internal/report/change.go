package report

import "strings"

// Change is the difference between a package in the previous image and in the new image.
// The caller computes it, with the code that also compares images elsewhere.
type Change struct {
	Package        string
	Removed, Added []string // versions that only one of the images has; "" stands for no version
	Before, After  int64    // bytes of all objects of the package
}

// what returns a word for the change. No object is empty, so zero bytes mean that the image lacks the package.
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

// difference returns by how many bytes the package has grown.
func (c Change) difference() int64 { return c.After - c.Before }

// versions returns the versions as a table shows them. An added or removed package without a version shows none.
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

// objectChanges returns how many objects the previous image lacks, and how many only it has.
func (r *Report) objectChanges() (added, removed int) {
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
