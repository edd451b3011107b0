package profile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Missing is an object that a closure needs and its store has not.
type Missing struct {
	Path     Path
	NeededBy Path // the first one, by path, that refers to it; Path itself if it is a root
}

// ClosureError lists all that keeps a closure from being complete.
type ClosureError struct {
	Missing   []Missing // sorted by path
	Untrusted []error   // each wraps ErrUntrusted; sorted by what they say
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

// Error names all of them: in a line if they are few, and else a line each.
func (e *ClosureError) Error() string {
	var parts []string
	if n := len(e.Missing); n > 0 {
		parts = append(parts, all(n, "missing from the store", func(i int) string {
			m := e.Missing[i]
			if m.NeededBy == m.Path {
				return m.Path.Base()
			}
			return fmt.Sprintf("%s (needed by %s)", m.Path.Base(), m.NeededBy.Base())
		}))
	}
	if n := len(e.Untrusted); n > 0 {
		parts = append(parts, all(n, "not trusted", func(i int) string { return e.Untrusted[i].Error() }))
	}
	separator := "; "
	if len(e.Missing) > mostInLine || len(e.Untrusted) > mostInLine {
		separator = "\n"
	}
	return "find closure: " + strings.Join(parts, separator)
}

// mostInLine is how many things are named in one line.
const mostInLine = 8

// all is how many things are so, and all of them.
func all(n int, so string, thing func(int) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s:", n, so)
	for i := range n {
		switch {
		case n > mostInLine:
			b.WriteString("\n  ")
		case i > 0:
			b.WriteString(", ")
		default:
			b.WriteString(" ")
		}
		b.WriteString(thing(i))
	}
	return b.String()
}

// few writes the first of n things, and how many more there are.
func few(b *strings.Builder, n int, thing func(int) string) {
	const most = mostInLine
	for i := range min(n, most) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(thing(i))
	}
	if n > most {
		fmt.Fprintf(b, " and %d more", n-most)
	}
}

// Is says that a closure with missing objects is fs.ErrNotExist, and one with untrusted ones ErrUntrusted.
func (e *ClosureError) Is(target error) bool {
	return target == fs.ErrNotExist && len(e.Missing) > 0 || target == ErrUntrusted && len(e.Untrusted) > 0
}

// Unwrap are the reasons why objects are not trusted.
func (e *ClosureError) Unwrap() []error { return e.Untrusted }

// ErrUntrusted is what a store's error wraps that knows of an object but has no reason to believe it.
var ErrUntrusted = errors.New("not trusted")
