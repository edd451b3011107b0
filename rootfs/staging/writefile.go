package staging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// WriteFile writes a file, 0644, that gets its name when it is complete, so that a killed run leaves nothing.
// It replaces a file of that name. It fails on a file system without nameless files (O_TMPFILE).
func WriteFile(name string, data []byte) error {
	fd, err := unix.Open(filepath.Dir(name), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	temp := os.NewFile(uintptr(fd), name)
	defer temp.Close()
	if _, err := temp.Write(data); err != nil {
		return err
	}
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	err = unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, fs.ErrExist) { // a damaged file, or one of a run at the same time
		if err = os.Remove(name); err == nil {
			err = unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
		}
	}
	return err
}

// Touch sets the modification time of a file to now, and makes the file if it does not exist.
// It follows no link in place of the file, and waits for no pipe: in a directory that others may write into,
// they choose what the name means.
func Touch(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	now := unix.NsecToTimeval(time.Now().UnixNano())
	return errors.Join(unix.Futimes(int(f.Fd()), []unix.Timeval{now, now}), f.Close())
}

// ReadFile reads a regular file of at most limit bytes, with the same care as [Touch]. A longer one is an error.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular() || fi.Size() > limit:
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is not a small file")}
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
