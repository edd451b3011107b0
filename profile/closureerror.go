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

func (e *ClosureError) Error() string {
	var b strings.Builder
	b.WriteString("find closure: ")
	if n := len(e.Missing); n > 0 {
		fmt.Fprintf(&b, "%d missing from the store: ", n)
		few(&b, n, func(i int) string {
			m := e.Missing[i]
			if m.NeededBy == m.Path {
				return m.Path.Base()
			}
			return fmt.Sprintf("%s (needed by %s)", m.Path.Base(), m.NeededBy.Base())
		})
	}
	if n := len(e.Untrusted); n > 0 {
		if len(e.Missing) > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d not trusted: ", n)
		few(&b, n, func(i int) string { return e.Untrusted[i].Error() })
	}
	return b.String()
}

// few writes the first of n things, and how many more there are.
func few(b *strings.Builder, n int, thing func(int) string) {
	const most = 8
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
