package input

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// watched reports progress and ends when the context is done.
type watched struct {
	ctx      context.Context
	progress func(int64)
}

func (w *watched) check() error { return context.Cause(w.ctx) }

func (w *watched) report(n int64) {
	if n > 0 && w.progress != nil {
		w.progress(n)
	}
}

// place is a regular file, from some place on. Where others have moved it to makes no difference.
type place struct {
	watched
	f         *os.File
	off, size int64
}

func (p *place) Read(b []byte) (int, error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	n, err := p.f.ReadAt(b, p.off)
	p.off += int64(n)
	p.report(int64(n))
	return n, err
}

func (p *place) skip(n int64) error {
	if err := p.check(); err != nil {
		return err
	}
	if n > math.MaxInt64-p.off {
		return fmt.Errorf("skip %d bytes: more than any file has", n)
	}
	p.report(min(n, p.size-p.off))
	p.off += n
	return nil
}

// pipe is a pipe, a socket or a terminal; waiting for it stops when the context is done.
type pipe struct {
	watched
	f *os.File
}

// pollMillis is how soon a wait ends that nobody wants any more.
const pollMillis = 100

func (r *pipe) Read(b []byte) (int, error) {
	// Fd would make a non-blocking file blocking; reading what is ready does not mind.
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
