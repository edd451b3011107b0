package staging

import (
	"cmp"
	"errors"
	"fmt"
	"os"

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
