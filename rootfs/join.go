package rootfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"slices"
)

// Join is the tree of several parts together.
// The parts come in the order of their roots, whatever order they are given in;
// the one whose root is empty is woven in between.
// Directories above a root are filled in, 0755 and owned by root.
// Two parts that hold the same path are an error, as is a part that breaks a rule of trees.
func Join(parts []Part) Tree {
	return func(yield func(Entry, error) bool) {
		sorted := slices.Clone(parts)
		slices.SortStableFunc(sorted, func(a, b Part) int { return ComparePaths(a.Root, b.Root) })
		for i, p := range sorted[min(1, len(sorted)):] {
			if p.Root == sorted[i].Root {
				yield(Entry{}, fmt.Errorf("%s: %q: %w: %s is there", p.Name, p.Root, fs.ErrExist, sorted[i].Name))
				return
			}
		}
		j := joiner{yield: yield}
		if len(sorted) > 0 && sorted[0].Root == "" {
			next, stop := iter.Pull2(Check("", sorted[0].Tree))
			defer stop()
			j.next, j.base = next, sorted[0].Name
			j.advance()
			sorted = sorted[1:]
		}
		for _, p := range sorted {
			if !j.weave(p.Root) || !j.part(p) {
				return
			}
		}
		j.weave("")
	}
}

// joiner holds what Join needs between two entries.
type joiner struct {
	yield func(Entry, error) bool
	order orderer

	next func() (Entry, error, bool) // of the part whose root is empty
	base string                      // its name
	e    Entry                       // its next entry
	err  error
	more bool
}

func (j *joiner) advance() { j.e, j.err, j.more = j.next() }

// weave emits the base entries that come before root, or all that are left.
func (j *joiner) weave(root string) bool {
	for j.more && (j.err != nil || root == "" || ComparePaths(j.e.Path, root) < 0) {
		if !j.emit(j.base, j.e, j.err) {
			return false
		}
		j.advance()
	}
	if j.more && root != "" && Within(root, j.e.Path) {
		j.emit(j.base, j.e, fmt.Errorf("%q: %w: it belongs to another part", j.e.Path, fs.ErrExist))
		return false
	}
	return true
}

func (j *joiner) part(p Part) bool {
	for i, c := range []byte(p.Root) {
		if c == '/' && !slices.Contains(j.order.dirs, p.Root[:i]) {
			if !j.emit(p.Name, Dir(p.Root[:i], 0o755), nil) {
				return false
			}
		}
	}
	for e, err := range Check(p.Root, p.Tree) {
		if !j.emit(p.Name, e, err) {
			return false
		}
	}
	return true
}

// emit passes an entry on, or ends the tree with an error that names the part.
func (j *joiner) emit(name string, e Entry, err error) bool {
	if err == nil {
		err = j.order.next("", e)
	}
	if err != nil {
		j.yield(Entry{}, fmt.Errorf("%s: %w", cmp.Or(name, "part"), err))
		return false
	}
	return j.yield(e, nil)
}
