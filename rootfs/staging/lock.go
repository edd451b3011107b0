package staging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Lock waits for the lock of a directory into which several runs write. The directory must not be a link.
// [Unlock] releases it.
func Lock(ctx context.Context, dir string) (*os.File, error) {
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
		go func() { // release the lock if flock still gets it
			if r := <-done; r.err == nil {
				r.f.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// Unlock releases a lock and closes its file. The lock ends even if the file cannot be closed.
func Unlock(lock *os.File) error {
	return errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_UN), lock.Close())
}

// lockDir locks a directory. It fails with ErrMoved if the path meanwhile leads elsewhere.
func lockDir(dir string, how int) (*os.File, error) {
	dir = filepath.Clean(dir)
	parent, err := os.OpenFile(filepath.Dir(dir), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return lockIn(parent, filepath.Base(dir), how)
}

// lockIn locks a directory in another one.
func lockIn(parent *os.File, name string, how int) (_ *os.File, err error) {
	f, err := openIn(parent, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("%w: %w", ErrMoved, err)
	}
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			break
		}
	}
	if err == nil {
		var same bool
		if same, err = sameIn(parent, name, f); err == nil && !same {
			err = ErrMoved
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
