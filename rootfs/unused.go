package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Kept is what some directory of a cache has.
type Kept struct {
	Files int
	Bytes int64
}

// Usage counts the files below a directory, which need not exist.
func Usage(dir string) (k Kept, err error) {
	err = walkFiles(dir, func(_ string, fi fs.FileInfo) error {
		k.add(fi)
		return nil
	})
	return k, err
}

// RemoveUnused removes the files below a directory that were not used for so long, by their modification times.
func RemoveUnused(dir string, olderThan time.Duration) (removed Kept, err error) {
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

func (k *Kept) add(fi fs.FileInfo) {
	k.Files++
	k.Bytes += fi.Size()
}

// walkFiles visits regular files. Other runs may make and remove some meanwhile.
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
