package base

import (
	"fmt"
	"io/fs"
	"iter"

	"github.com/export-profile/export-profile/rootfs"
)

// Extend returns the base part with more entries, and with a new key and size.
// A directory may be in both, with the same mode and owner. Any other path may be in only one.
// Extend reads all contents for the key. Each walk of the part reads them again.
func Extend(base rootfs.Part, more rootfs.Tree) (rootfs.Part, error) {
	both := merge(rootfs.Check("", base.Tree), rootfs.Check("", more))
	sum := rootfs.NewPartSum()
	for e, err := range both {
		if err != nil {
			return rootfs.Part{}, fmt.Errorf("extend base files: %w", err)
		}
		content, err := rootfs.SumContent(e)
		if err != nil {
			return rootfs.Part{}, fmt.Errorf("extend base files: read %q: %w", e.Path, err)
		}
		sum.Add(e, content)
	}
	base.Key, base.Size = sum.Key(), sum.Size()
	base.Tree = rootfs.Check("", both)
	return base, nil
}

// merge merges two trees. A directory that is in both comes once.
func merge(a, b rootfs.Tree) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		other, err, ok := next()
		for e, errA := range a {
			for ok && err == nil && errA == nil && rootfs.ComparePaths(other.Path, e.Path) < 0 {
				if !yield(other, nil) {
					return
				}
				other, err, ok = next()
			}
			if errA == nil {
				errA = err
			}
			if ok && errA == nil && other.Path == e.Path {
				if !e.IsDir() || other.Mode != e.Mode || other.UID != e.UID || other.GID != e.GID {
					errA = fmt.Errorf("%q: %w", e.Path, fs.ErrExist)
				}
				other, err, ok = next()
			}
			if !yield(e, errA) || errA != nil {
				return
			}
		}
		for ; ok; other, err, ok = next() {
			if !yield(other, err) || err != nil {
				return
			}
		}
	}
}
