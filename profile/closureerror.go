package profile

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Missing is an object that a closure needs and its store lacks.
type Missing struct {
	Path     Path
	NeededBy Path // the first object in path order that refers to it; Path itself if it is a root
}

// ClosureError lists all objects that a closure needs and cannot have.
type ClosureError struct {
	Missing   []Missing // sorted by path
	Untrusted []error   // each wraps ErrUntrusted; sorted by their text
}

func newClosureError(infos []*Info, missing []Path, untrusted []error) *ClosureError {
	e := &ClosureError{Untrusted: untrusted}
	slices.SortFunc(e.Untrusted, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	neededBy := make(map[Path]Path)
	for _, info := range infos {
		for _, ref := range info.References {
			if _, ok := neededBy[ref]; !ok {
				neededBy[ref] = info.Path
			}
		}
	}
	slices.Sort(missing)
	for _, p := range missing {
		e.Missing = append(e.Missing, Missing{Path: p, NeededBy: cmp.Or(neededBy[p], p)})
	}
	return e
}

// Error names all objects: on one line if they are few, otherwise each on its own line.
func (e *ClosureError) Error() string {
	var parts []string
	if n := len(e.Missing); n > 0 {
		parts = append(parts, listAll(n, "missing from the store", func(i int) string {
			m := e.Missing[i]
			if m.NeededBy == m.Path {
				return m.Path.Base()
			}
			return fmt.Sprintf("%s (needed by %s)", m.Path.Base(), m.NeededBy.Base())
		}))
	}
	if n := len(e.Untrusted); n > 0 {
		parts = append(parts, listAll(n, "not trusted", func(i int) string { return e.Untrusted[i].Error() }))
	}
	separator := "; "
	if len(e.Missing) > maxPerLine || len(e.Untrusted) > maxPerLine {
		separator = "\n"
	}
	return "find closure: " + strings.Join(parts, separator)
}

// maxPerLine limits how many objects one line names.
const maxPerLine = 8

// listAll writes "n state: ", then the names of all n objects.
func listAll(n int, state string, name func(int) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s:", n, state)
	for i := range n {
		switch {
		case n > maxPerLine:
			b.WriteString("\n  ")
		case i > 0:
			b.WriteString(", ")
		default:
			b.WriteString(" ")
		}
		b.WriteString(name(i))
	}
	return b.String()
}

// listFew writes the first of n names, and how many more there are.
func listFew(b *strings.Builder, n int, name func(int) string) {
	for i := range min(n, maxPerLine) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name(i))
	}
	if n > maxPerLine {
		fmt.Fprintf(b, " and %d more", n-maxPerLine)
	}
}

// Is matches fs.ErrNotExist if objects are missing, and ErrUntrusted if objects are untrusted.
func (e *ClosureError) Is(target error) bool {
	return target == fs.ErrNotExist && len(e.Missing) > 0 || target == ErrUntrusted && len(e.Untrusted) > 0
}

// Unwrap returns the reasons why objects are untrusted.
func (e *ClosureError) Unwrap() []error { return e.Untrusted }
