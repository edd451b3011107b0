package localstore

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// copyPrefix is how the directories of copies begin.
const copyPrefix = "nix-db-"

// copyStep is how much is copied before a cancelled context is noticed.
const copyStep = 8 << 20

// copy copies db.sqlite and its log to a private directory.
// The caller removes it; what a killed run leaves behind the next one removes, told by a lock that nobody holds.
func (d *database) copy(ctx context.Context) (file string, remove func() error, err error) {
	dir := d.tempDir
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", nil, err
		}
		sweep(dir)
	}
	private, lock, err := makePrivate(dir)
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return errors.Join(os.RemoveAll(private), lock.Close()) }
	file = filepath.Join(private, "db.sqlite")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(ctx, file+suffix, d.path+suffix); err != nil {
			return "", nil, errors.Join(err, remove())
		}
	}
	return file, remove, nil
}

// makePrivate makes a directory that is locked as long as the file is open.
func makePrivate(dir string) (string, *os.File, error) {
	for {
		private, err := os.MkdirTemp(dir, copyPrefix)
		if err != nil {
			return "", nil, err
		}
		lock, err := os.Open(private)
		if errors.Is(err, os.ErrNotExist) {
			continue // swept before it could be locked
		}
		if err != nil {
			return "", nil, errors.Join(err, os.Remove(private))
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			if _, err := os.Stat(private); err == nil {
				return private, lock, nil
			}
		}
		lock.Close()
	}
}

// sweep removes the copies of runs that are no more. It is not needed for anything, so errors make no difference.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), copyPrefix) {
			continue
		}
		left, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if unix.Flock(int(left.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(left.Name())
		}
		left.Close()
	}
}

// copyFile lets the kernel copy, and share blocks where the file system can.
func copyFile(ctx context.Context, to, from string) (err error) {
	r, err := openFile(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, err := io.CopyN(w, r, copyStep)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
