package rootfs

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

// Staging is a directory in which an output is made before it is visible.
//
// It lies beside its destination, or in it, so that publishing is a rename;
// it is locked (flock) as long as its process lives,
// so that the next run can tell litter of a killed one from the work of a living one.
type Staging struct {
	Dir  string // its path
	lock *os.File
}

// NewStaging makes an empty staging directory in parent,
// named "."+name+".export-profile-" and something random.
func NewStaging(parent, name string) (*Staging, error) {
	for {
		dir, err := os.MkdirTemp(parent, stagingPrefix(name))
		if err != nil {
			return nil, fmt.Errorf("make staging directory: %w", err)
		}
		lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // another run took it for litter before it was locked
		}
		if err != nil {
			os.Remove(dir)
			return nil, fmt.Errorf("lock staging directory: %w", err)
		}
		return &Staging{Dir: dir, lock: lock}, nil
	}
}

// Remove deletes the directory with all that is in it and unlocks it.
// After the directory has been renamed away, Remove only unlocks it.
func (s *Staging) Remove() error {
	err := RemoveAll(s.Dir)
	return errors.Join(err, s.lock.Close())
}

// Unlock leaves the directory where it is; it has been published.
func (s *Staging) Unlock() error { return s.lock.Close() }

// CleanStaging removes what killed runs left of staging directories of this parent and name.
// For each it first calls recover, if not nil, with the directory's path,
// which is locked meanwhile. In a directory where anybody may make one, such as /tmp, those of other users are left alone.
func CleanStaging(parent, name string, recover func(dir string) error) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	var anybody bool
	if fi, err := os.Stat(parent); err == nil {
		anybody = fi.Mode()&fs.ModeSticky != 0
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), stagingPrefix(name)) {
			continue
		}
		if fi, err := e.Info(); anybody && (err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid()) {
			continue
		}
		dir := filepath.Join(parent, e.Name())
		lock, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue // alive, gone, or another user's
		}
		if recover != nil {
			err = recover(dir)
		}
		if err == nil {
			err = RemoveAll(dir)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return fmt.Errorf("clean up after a killed run: %w", err)
		}
	}
	return nil
}

func stagingPrefix(name string) string { return "." + name + ".export-profile-" }

// LockDir waits until it has the directory's lock (flock), shared by all runs that write into it.
// Closing the file unlocks it.
func LockDir(ctx context.Context, dir string) (*os.File, error) {
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
		go func() { // the lock may still come
			if r := <-done; r.err == nil {
				r.f.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// lockDir locks a directory and makes sure that the path still leads to what it has locked.
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

// RemoveAll removes a tree like os.RemoveAll,
// also one with directories that their owner may not write to, as store objects are.
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

// RenameNew renames a staged file or directory to a place where nothing is yet;
// it is fs.ErrExist if something is.
func RenameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // file systems without it
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
