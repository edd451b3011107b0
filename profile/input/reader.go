package input

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// monitor reports progress and cancellation.
type monitor struct {
	ctx      context.Context
	progress func(int64)
}

func (m *monitor) check() error { return context.Cause(m.ctx) }

func (m *monitor) report(n int64) {
	if n > 0 && m.progress != nil {
		m.progress(n)
	}
}

// fileReader reads a regular file from an offset on. It leaves the file's own offset alone, which another process may share.
type fileReader struct {
	monitor
	f         *os.File
	off, size int64
}

func (r *fileReader) Read(b []byte) (int, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	n, err := r.f.ReadAt(b, r.off)
	r.off += int64(n)
	r.report(int64(n))
	return n, err
}

func (r *fileReader) skip(n int64) error {
	if err := r.check(); err != nil {
		return err
	}
	if n > math.MaxInt64-r.off {
		return fmt.Errorf("skip %d bytes: no file is that large", n)
	}
	r.report(min(n, r.size-r.off))
	r.off += n
	return nil
}

// pipeReader reads a pipe, a socket or a terminal. It stops waiting once the context is done.
type pipeReader struct {
	monitor
	f *os.File
}

// pollMillis bounds how long a wait outlasts its context.
const pollMillis = 100

func (r *pipeReader) Read(b []byte) (int, error) {
	// Fd may make the file blocking. That does no harm: Read follows only once data is ready.
	fd := int32(r.f.Fd())
	for {
		if err := r.check(); err != nil {
			return 0, err
		}
		ready := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
		switch n, err := unix.Poll(ready, pollMillis); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("poll", err)
		case n > 0:
			n, err := r.f.Read(b)
			r.report(int64(n))
			return n, err
		}
	}
}
