package ocilayout

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner is the owner of a layout. Like umoci, root gives its files to this owner.
type owner struct{ uid, gid int }

func newOwner(path string) (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := fi.Sys().(*syscall.Stat_t)
	return &owner{int(s.Uid), int(s.Gid)}, nil
}

// give changes the owner of a file that is about to join the layout.
// A file with other names is copied first, so that those remain root's.
func (o *owner) give(path string) error {
	if o == nil {
		return nil
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	s := fi.Sys().(*syscall.Stat_t)
	if int(s.Uid) == o.uid && int(s.Gid) == o.gid {
		return nil
	}
	if fi.Mode().IsRegular() && s.Nlink > 1 {
		if err := unshare(path, fi.Size()); err != nil {
			return err
		}
	}
	return os.Lchown(path, o.uid, o.gid)
}

// unshare replaces a file with other names by a copy.
func unshare(path string, size int64) error {
	temp := path + ".new"
	if err := putFile(context.Background(), temp, path, size, false); err != nil {
		os.Remove(temp)
		return err
	}
	return os.Rename(temp, path)
}

// put moves a file into a directory of the layout, after giving it to the layout's owner.
func (o *owner) put(from string, into *os.File) error {
	if err := o.give(from); err != nil {
		return err
	}
	name := filepath.Base(from)
	for {
		err := unix.Renameat(unix.AT_FDCWD, from, int(into.Fd()), name)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return &os.LinkError{Op: "rename", Old: from, New: filepath.Join(into.Name(), name), Err: err}
		}
	}
}
