package rootfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
)

// Extend is the base part with more entries, and the key and size that it has then.
// Where both have a directory it must be the same one; nothing else may be in both.
// All contents are read once, for the key, and again when the part is walked.
func Extend(base Part, more Tree) (Part, error) {
	both := merge(Check("", base.Tree), Check("", more))
	sum := NewBaseSum()
	for e, err := range both {
		if err != nil {
			return Part{}, fmt.Errorf("extend base files: %w", err)
		}
		content, err := SumContent(e)
		if err != nil {
			return Part{}, fmt.Errorf("extend base files: read %q: %w", e.Path, err)
		}
		sum.Add(e, content)
	}
	base.Key, base.Size = sum.Key(), sum.Size()
	base.Tree = Check("", both)
	return base, nil
}

// merge is the entries of two trees, and those once that are the same directory.
func merge(a, b Tree) Tree {
	return func(yield func(Entry, error) bool) {
		next, stop := iter.Pull2(b)
		defer stop()
		other, err, ok := next()
		for e, errA := range a {
			for ok && err == nil && errA == nil && ComparePaths(other.Path, e.Path) < 0 {
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

// SumContent is the SHA-256 of a regular file's content, and of nothing for all others, as BaseSum takes it.
func SumContent(e Entry) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if e.IsRegular() {
		r, err := e.Open()
		if err != nil {
			return sum, err
		}
		n, err := io.Copy(h, r)
		if err == nil && n != e.Size {
			err = fmt.Errorf("%d bytes instead of %d", n, e.Size)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
