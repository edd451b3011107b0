package rootfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Extend is the base part with more entries, and the key and size that it has then.
// Where both have a directory it must be the same one; nothing else may be in both.
// All contents are read once, for the key, and again when the part is walked.
func Extend(base Part, more Tree) (Part, error) {
	var entries []Entry
	sums := make(map[string][sha256.Size]byte) // of each entry's content
	for _, tree := range []Tree{base.Tree, more} {
		for e, err := range Check("", tree) {
			if err != nil {
				return Part{}, fmt.Errorf("extend base files: %w", err)
			}
			if sums[e.Path], err = SumContent(e); err != nil {
				return Part{}, fmt.Errorf("extend base files: read %q: %w", e.Path, err)
			}
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return ComparePaths(a.Path, b.Path) })
	joined := entries[:0]
	for _, e := range entries {
		if len(joined) > 0 && joined[len(joined)-1].Path == e.Path {
			there := joined[len(joined)-1]
			if !e.IsDir() || e.Mode != there.Mode || e.UID != there.UID || e.GID != there.GID {
				return Part{}, fmt.Errorf("extend base files: %q: %w", e.Path, fs.ErrExist)
			}
			continue
		}
		joined = append(joined, e)
	}
	sum := NewBaseSum()
	for _, e := range joined {
		sum.Add(e, sums[e.Path])
	}
	base.Key, base.Size = sum.Key(), sum.Size()
	base.Tree = Check("", TreeOf(joined))
	return base, nil
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
