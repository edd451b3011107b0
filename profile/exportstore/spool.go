package exportstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newSpool makes a file that nobody else can open and that is gone when it is closed or the process dies.
func newSpool(dir string) (*os.File, error) {
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

// pollReader reads a pipe, a socket or a terminal, and stops waiting for it when the context is done.
type pollReader struct {
	ctx context.Context
	f   *os.File
}

// pollMillis is how soon a wait ends that nobody wants any more.
const pollMillis = 100

func (r pollReader) Read(p []byte) (int, error) {
	// Fd would make a non-blocking file blocking; reading what is ready does not mind.
	fd := int32(r.f.Fd())
	for {
		if err := context.Cause(r.ctx); err != nil {
			return 0, err
		}
		ready := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
		switch n, err := unix.Poll(ready, pollMillis); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case n > 0:
			return r.f.Read(p)
		}
	}
}

// watched reports progress and ends when the context is done.
type watched struct {
	r        interface{ Read([]byte) (int, error) }
	ctx      context.Context
	progress func(int64)
}

func (w *watched) Read(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	if n > 0 && w.progress != nil {
		w.progress(int64(n))
	}
	return n, err
}
