// Package spool makes temporary files that leave nothing behind, however a run ends.
package spool

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// New makes a file that nobody else can open and that is gone when it is closed or the process dies.
// The directory, by default os.TempDir, is made if it does not exist.
func New(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/spool"), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("make spool in %q: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, "spool-") // file systems without nameless files
	if err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
