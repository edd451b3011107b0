package rootfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Usage is the number and size of the files in a directory of a cache.
type Usage struct {
	Files int
	Bytes int64
}

// UsageOf counts the files below a directory, which need not exist.
func UsageOf(dir string) (u Usage, err error) {
	err = walkFiles(dir, func(_ string, fi fs.FileInfo) error {
		u.add(fi)
		return nil
	})
	return u, err
}

// RemoveUnused removes the files below a directory that were last used longer than olderThan ago.
// The modification time of a file tells when it was last used.
func RemoveUnused(dir string, olderThan time.Duration) (removed Usage, err error) {
	err = walkFiles(dir, func(name string, fi fs.FileInfo) error {
		if time.Since(fi.ModTime()) < olderThan {
			return nil
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		removed.add(fi)
		return nil
	})
	return removed, err
}

// VerifyFacts removes the damaged facts in the directory of Facts, and returns their names.
func VerifyFacts(ctx context.Context, dir string) (removed []string, err error) {
	return RemoveDamaged(ctx, dir, func(name string) (bool, error) {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxFact+1))
		return len(b) <= maxFact && factBody(b) != nil, err
	})
}

// RemoveDamaged calls check for each file below a directory, which need not exist, removes those that are not whole,
// and returns their paths relative to it. A file that its disk cannot read is not whole.
func RemoveDamaged(ctx context.Context, dir string, check func(name string) (whole bool, err error)) (removed []string, err error) {
	err = walkFiles(dir, func(name string, _ fs.FileInfo) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		whole, err := check(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), whole && err == nil:
			return nil
		case err != nil && !errors.Is(err, syscall.EIO):
			return err
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		removed = append(removed, relative)
		return err
	})
	return removed, err
}

func (u *Usage) add(fi fs.FileInfo) {
	u.Files++
	u.Bytes += fi.Size()
}

// walkFiles visits the regular files below a directory. It tolerates other runs that make and remove some.
func walkFiles(dir string, visit func(string, fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(name, fi)
	})
}
