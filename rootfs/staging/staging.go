// Package staging prepares outputs out of sight and publishes them with a rename.
//
// A [Dir] is a locked directory beside its destination. A run that is killed leaves it behind;
// the next run with the same destination finds it unlocked and removes it ([Clean]).
// [Spool] makes temporary files without a name, which the kernel removes with the process.
// [WriteFile] makes small files that appear when they are complete.
//
// The locks are flocks, so they end with the process that holds them.
package staging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dir is a directory in which an output is made before it becomes visible.
//
// It lies beside its destination, or in it, so that publishing is a rename.
// It stays locked while its process lives:
// that tells the leftovers of a killed run from the work of a running one.
type Dir struct {
	Path string
	lock *os.File
}

// New makes an empty, locked staging directory in parent,
// named "."+name+".export-profile-" and a random suffix.
func New(parent, name string) (*Dir, error) {
	for {
		path, err := os.MkdirTemp(parent, prefix(name))
		if err != nil {
			return nil, fmt.Errorf("make staging directory: %w", err)
		}
		lock, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // another run's Clean found it before it was locked
		}
		if err != nil {
			os.Remove(path)
			return nil, fmt.Errorf("lock staging directory: %w", err)
		}
		return &Dir{Path: path, lock: lock}, nil
	}
}

// Remove deletes the directory and its contents, and unlocks it.
// After the directory has been renamed away, Remove only unlocks it.
func (d *Dir) Remove() error {
	err := RemoveAll(d.Path)
	return errors.Join(err, d.lock.Close())
}

// Unlock unlocks a directory that has been published, and leaves it in place.
func (d *Dir) Unlock() error { return d.lock.Close() }

// Clean removes the staging directories of parent and name that killed runs left behind.
// Before it removes one, it locks it and calls recover, if not nil, with its path.
// In a parent with the sticky bit, such as /tmp, Clean leaves those of other users alone.
func Clean(parent, name string, recover func(path string) error) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	var sticky bool
	if fi, err := os.Stat(parent); err == nil {
		sticky = fi.Mode()&fs.ModeSticky != 0
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix(name)) {
			continue
		}
		if fi, err := e.Info(); sticky && (err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid()) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		lock, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue // in use, gone, or another user's
		}
		if recover != nil {
			err = recover(path)
		}
		if err == nil {
			err = RemoveAll(path)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return fmt.Errorf("clean up after a killed run: %w", err)
		}
	}
	return nil
}

func prefix(name string) string { return "." + name + ".export-profile-" }

// Lock waits for the lock of a directory into which several runs write.
// Closing the file releases it.
func Lock(ctx context.Context, dir string) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		f, err := lockDir(dir, unix.LOCK_EX)
		done <- result{f, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("lock %q: %w", dir, r.err)
		}
		return r.f, nil
	case <-ctx.Done():
		go func() { // release the lock if flock still gets it
			if r := <-done; r.err == nil {
				r.f.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// lockDir locks a directory. It fails with fs.ErrNotExist if the path meanwhile leads elsewhere.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			break
		}
	}
	if err == nil {
		var have, want os.FileInfo
		if have, err = f.Stat(); err == nil {
			if want, err = os.Lstat(dir); err == nil && !os.SameFile(have, want) {
				err = fs.ErrNotExist
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// RemoveAll removes a tree like os.RemoveAll.
// It also removes directories that their owner may not write to, such as those of store objects.
func RemoveAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// WalkDir reports a directory before it reads it, so this opens the way down.
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// RenameNew renames a file or directory to a name that must not exist yet;
// otherwise the error wraps fs.ErrExist.
func RenameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not supported by the file system
		if _, err := os.Lstat(to); err == nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
		}
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
