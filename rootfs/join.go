package rootfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"slices"
)

// Join merges parts into one tree, in path order, whatever order they are given in.
// The entries of the part whose root is empty come between the other parts.
// Join fills in the directories above a root, 0755 and owned by root.
// The tree ends with an error if two parts hold the same path, or if a part breaks a rule of trees.
func Join(parts []Part) Tree {
	return func(yield func(Entry, error) bool) {
		sorted := slices.Clone(parts)
		slices.SortStableFunc(sorted, func(a, b Part) int { return ComparePaths(a.Root, b.Root) })
		for i, p := range sorted[min(1, len(sorted)):] {
			if p.Root == sorted[i].Root {
				yield(Entry{}, fmt.Errorf("%s: %q: %w: %s has the same root", p.Name, p.Root, fs.ErrExist, sorted[i].Name))
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

// joiner is the state of one walk of a joined tree.
type joiner struct {
	yield func(Entry, error) bool
	order orderChecker

	// The part whose root is empty: its name, how to get its next entry, and that entry.
	base string
	next func() (Entry, error, bool)
	e    Entry
	err  error
	more bool
}

func (j *joiner) advance() { j.e, j.err, j.more = j.next() }

// weave emits the base part's entries up to root, or all the rest if root is empty.
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

// emit yields an entry, or ends the tree with an error that names the part.
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
