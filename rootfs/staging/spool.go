package staging

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// SpoolError reports a directory in which [Spool] cannot make a file.
type SpoolError struct {
	Dir string
	Err error
}

func (e *SpoolError) Error() string { return fmt.Sprintf("make spool in %q: %v", e.Dir, e.Err) }

func (e *SpoolError) Unwrap() error { return e.Err }

// Spool makes a temporary file that no other process can open.
// It disappears when it is closed or the process dies.
// The directory, by default os.TempDir, is made if it does not exist.
// The error is a *SpoolError.
func Spool(dir string) (*os.File, error) {
	dir = cmp.Or(dir, os.TempDir())
	err := os.MkdirAll(dir, 0o755)
	var f *os.File
	if err == nil {
		f, err = nameless(dir)
	}
	if err != nil {
		return nil, &SpoolError{dir, err}
	}
	return f, nil
}

func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/spool"), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "spool-") // the file system has no nameless files
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

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
