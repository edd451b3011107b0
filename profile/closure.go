package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Closure is a set of store objects with everything that they refer to, and with all of theirs.
type Closure struct {
	Roots []Path  // as they were asked for
	Infos []*Info // sorted by path, each once

	store Store
}

// FindClosure follows references from the roots; no file is read.
// A deriver is not a reference.
// Cycles and self-references are as good as any other.
// All objects that are missing are reported at once, in a [MissingError].
func FindClosure(ctx context.Context, s Store, roots ...Path) (*Closure, error) {
	c := &Closure{Roots: roots, store: s}
	needs := make(map[Path]Path) // each path that was seen → who refers to it
	var queue []Path
	for _, p := range roots {
		if _, ok := needs[p]; !ok {
			needs[p] = p
			queue = append(queue, p)
		}
	}
	var missing []Missing
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		info, err := s.Info(ctx, p)
		if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
			missing = append(missing, Missing{Path: p, NeededBy: needs[p]})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find closure: %w", err)
		}
		c.Infos = append(c.Infos, info)
		for _, ref := range info.References {
			if _, ok := needs[ref]; !ok {
				needs[ref] = p
				queue = append(queue, ref)
			}
		}
	}
	if missing != nil {
		slices.SortFunc(missing, func(a, b Missing) int { return cmp.Compare(a.Path, b.Path) })
		return nil, &MissingError{Missing: missing}
	}
	slices.SortFunc(c.Infos, func(a, b *Info) int { return cmp.Compare(a.Path, b.Path) })
	return c, nil
}

// Size is the sum of the NAR sizes, in bytes.
func (c *Closure) Size() int64 {
	var sum int64
	for _, info := range c.Infos {
		sum += info.NarSize
	}
	return sum
}

// Parts are the objects of the closure as parts of a root file system, sorted by path.
// Their trees are read from the store when they are walked, as long as it is open and ctx is not done.
func (c *Closure) Parts(ctx context.Context) []rootfs.Part {
	parts := make([]rootfs.Part, 0, len(c.Infos))
	for _, info := range c.Infos {
		part := rootfs.Part{
			Name: info.Path.Base(),
			Root: info.Path.Root(),
			Size: info.NarSize,
			Tree: c.store.Files(ctx, info.Path),
		}
		if info.NarHash.Known() {
			part.Key = "sha256:" + info.NarHash.Hex()
		}
		for _, ref := range info.References {
			if ref != info.Path {
				part.Refs = append(part.Refs, ref.Root())
			}
		}
		slices.Sort(part.Refs)
		parts = append(parts, part)
	}
	return parts
}

// Missing is an object that a closure needs and its store has not.
type Missing struct {
	Path, NeededBy Path
}

// MissingError lists all objects that a closure lacks.
type MissingError struct {
	Missing []Missing // sorted by path
}

func (e *MissingError) Error() string {
	const few = 8
	var b strings.Builder
	fmt.Fprintf(&b, "find closure: %d missing from the store: ", len(e.Missing))
	for i, m := range e.Missing {
		if i == few {
			fmt.Fprintf(&b, " and %d more", len(e.Missing)-few)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.Path.Base())
		if m.NeededBy != m.Path {
			fmt.Fprintf(&b, " (needed by %s)", m.NeededBy.Base())
		}
	}
	return b.String()
}

func (e *MissingError) Unwrap() error { return fs.ErrNotExist }
