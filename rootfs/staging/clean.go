package staging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Clean removes the staging directories of parent and name that killed runs left behind.
// Before it removes one, it locks it and calls recover, if not nil, with a path that leads to it.
// In a parent with the sticky bit, such as /tmp, Clean leaves those of other users alone.
func Clean(parent, name string, recover func(path string) error) error {
	in, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer in.Close()
	return CleanIn(in, name, recover)
}

// CleanIn is Clean in an open directory.
func CleanIn(parent *os.File, name string, recover func(path string) error) error {
	in, err := openIn(parent, ".")
	if err != nil {
		return err
	}
	defer in.Close()
	entries, err := in.ReadDir(-1)
	if err != nil {
		return err
	}
	var sticky bool
	if fi, err := in.Stat(); err == nil {
		sticky = fi.Mode()&fs.ModeSticky != 0
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix(name)) {
			continue
		}
		if fi, err := e.Info(); sticky && (err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Geteuid()) {
			continue
		}
		lock, err := lockIn(in, e.Name(), unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue // in use, gone, or another user's
		}
		shown := filepath.Join(in.Name(), e.Name())
		path := PathOf(lock, shown)
		if recover != nil {
			err = recover(path)
		}
		if err == nil {
			err = removeDir(in, e.Name(), path)
		}
		_ = Unlock(lock)
		if err != nil {
			return fmt.Errorf("clean up after a killed run: %w", explain(err, path, shown))
		}
	}
	return nil
}

// RemoveAll removes a tree like os.RemoveAll.
// It also removes directories that their owner may not write to, such as those of store objects.
// It follows no link, whatever another user does in the tree meanwhile.
func RemoveAll(dir string) error {
	root, err := os.OpenRoot(filepath.Dir(filepath.Clean(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return removeIn(root, filepath.Base(filepath.Clean(dir)))
}

// removeContents removes everything in a directory.
func removeContents(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	all, err := root.Open(".")
	if err != nil {
		return err
	}
	names, err := all.Readdirnames(-1)
	if err := errors.Join(err, all.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := removeIn(root, name); err != nil {
			return err
		}
	}
	return nil
}

func removeIn(root *os.Root, name string) error {
	if err := root.RemoveAll(name); err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return errors.Join(openAll(root, name), root.RemoveAll(name))
}

// openAll lets the owner write to a directory and to all directories below it.
func openAll(root *os.Root, dir string) error {
	if err := root.Chmod(dir, 0o700); err != nil {
		return err
	}
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := openAll(root, dir+"/"+e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
