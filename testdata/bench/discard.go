package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// discard deletes an action's results. It deletes a few large files at once, before most of them reach the disk.
// It keeps trees until the end, since ext4 creates files slowly for some minutes after many were deleted.
// If the disk is nearly full, it deletes them at once too.
func (l *lab) discard(name string) error {
	small, err := fewFiles(l.path(name), 1000)
	if err != nil {
		return err
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(l.scratch, &st); err != nil {
		return err
	}
	if small {
		return removeAll(l.path(name))
	}
	if st.Bavail*uint64(st.Bsize) < enoughSpace {
		l.logf("the disk is nearly full: the next actions may be slower")
		return removeAll(l.path(name), l.path("discarded"))
	}
	if err := os.MkdirAll(l.path("discarded"), 0o755); err != nil {
		return err
	}
	l.discarded++
	return os.Rename(l.path(name), l.path("discarded", fmt.Sprint(l.discarded)))
}

// enoughSpace is enough for one round of all actions.
const enoughSpace = 25 << 30

// fewFiles reports whether a tree has at most that many files, or does not exist.
func fewFiles(root string, most int) (bool, error) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if most--; most < 0 && err == nil {
			return errMany
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if errors.Is(err, errMany) {
		return false, nil
	}
	return true, err
}

var errMany = errors.New("many files")
