package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// discard deletes what an action made: a few large files right away, which spares the disk most of them,
// and trees in the end, as ext4 is slow to make files for some minutes after many were deleted.
// When the disk becomes full there is no other way.
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
		l.logf("the disk is nearly full: what comes next may be slower")
		return removeAll(l.path(name), l.path("discarded"))
	}
	if err := os.MkdirAll(l.path("discarded"), 0o755); err != nil {
		return err
	}
	l.discarded++
	return os.Rename(l.path(name), l.path("discarded", fmt.Sprint(l.discarded)))
}

// enoughSpace is for a round of everything.
const enoughSpace = 25 << 30

// fewFiles says whether there are at most that many, or nothing at all.
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
