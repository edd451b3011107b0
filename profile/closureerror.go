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

func (m Missing) String() string {
	if m.NeededBy == m.Path {
		return m.Path.Base()
	}
	return fmt.Sprintf("%s (needed by %s)", m.Path.Base(), m.NeededBy.Base())
}

// ClosureError lists all objects that a closure needs and cannot have.
type ClosureError struct {
	Missing   []Missing // sorted by path
	Lost      []Missing // registered in the store, but without files; sorted by path
	Unlisted  []Missing // not in the file of references; sorted by path
	Untrusted []error   // each wraps ErrUntrusted; sorted by their text
}

func newClosureError(f *finder) *ClosureError {
	e := &ClosureError{Untrusted: f.untrusted}
	slices.SortFunc(e.Untrusted, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	neededBy := make(map[Path]Path)
	for _, info := range slices.Concat(f.infos, f.known) {
		for _, ref := range info.References {
			if _, ok := neededBy[ref]; !ok {
				neededBy[ref] = info.Path
			}
		}
	}
	list := func(paths []Path) (all []Missing) {
		slices.Sort(paths)
		for _, p := range paths {
			all = append(all, Missing{p, cmp.Or(neededBy[p], p)})
		}
		return all
	}
	e.Missing, e.Lost, e.Unlisted = list(f.missing), list(f.lost), list(f.unlisted)
	return e
}

// Error names all objects: on one line if they are few, otherwise each on its own line.
func (e *ClosureError) Error() string {
	var parts []string
	if n := len(e.Missing); n > 0 {
		parts = append(parts, listAll(n, "missing from the store", func(i int) string { return e.Missing[i].String() }))
	}
	if n := len(e.Lost); n > 0 {
		parts = append(parts, listAll(n, "registered in the store, but without files", func(i int) string { return e.Lost[i].String() }))
	}
	if n := len(e.Unlisted); n > 0 {
		parts = append(parts, listAll(n, "not in the references", func(i int) string { return e.Unlisted[i].String() }))
	}
	if n := len(e.Untrusted); n > 0 {
		parts = append(parts, listAll(n, "not trusted", func(i int) string { return e.Untrusted[i].Error() }))
	}
	separator := "; "
	if max(len(e.Missing), len(e.Lost), len(e.Unlisted), len(e.Untrusted)) > maxPerLine {
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

// Is matches fs.ErrNotExist if objects, their files or their references are missing,
// ErrUnlisted for the last reason, and ErrUntrusted if objects are untrusted.
func (e *ClosureError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return len(e.Missing)+len(e.Lost)+len(e.Unlisted) > 0
	case ErrUnlisted:
		return len(e.Unlisted) > 0
	case ErrUntrusted:
		return len(e.Untrusted) > 0
	}
	return false
}

// Unwrap returns the reasons why objects are untrusted.
func (e *ClosureError) Unwrap() []error { return e.Untrusted }
