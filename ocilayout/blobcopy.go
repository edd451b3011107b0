package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// putFile makes a new file with the content of a blob, in the cheapest way: a clone, a link or a copy.
func putFile(ctx context.Context, to, from string, size int64, link bool) (err error) {
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if cloneFile(w, from) == nil {
		return w.Chmod(0o644)
	}
	if link && linkable(from) {
		if err := os.Remove(to); err != nil {
			return err
		}
		if os.Link(from, to) == nil {
			return nil
		}
		return putFile(ctx, to, from, size, false)
	}
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := copyFile(ctx, w, r, size); err != nil {
		return err
	}
	return w.Chmod(0o644)
}

// cloneFile makes an empty file share the content of another one. Not every file system can.
func cloneFile(to *os.File, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	return unix.IoctlFileClone(int(to.Fd()), int(r.Fd()))
}

// linkable reports whether a file may become a blob by a hard link:
// it must belong to this user and have the mode of a blob.
func linkable(name string) bool {
	fi, err := os.Lstat(name)
	if err != nil || fi.Mode() != 0o644 {
		return false
	}
	return int(fi.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// copyFile copies a file of a known size.
// It does not hash the copy, which would more than double the time:
// the file deserves the same trust as one that is linked.
func copyFile(ctx context.Context, w, r *os.File, size int64) error {
	n, err := sendAll(ctx, w, r)
	if err == nil && n != size {
		err = fmt.Errorf("copy %q: %d bytes of %d", r.Name(), n, size)
	}
	return err
}

// sendStep bounds how much the kernel copies before a cancelled context is noticed.
const sendStep = 8 << 20

// sendAll copies a whole file, in the kernel if possible. It uses sendfile because copy_file_range
// works only within one file system; sendfile also copies once, and in small pieces.
func sendAll(ctx context.Context, w, r *os.File) (n int64, err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		m, err := unix.Sendfile(int(w.Fd()), int(r.Fd()), nil, sendStep)
		switch {
		case err == unix.EINTR:
		case err != nil && n == 0:
			return copyAll(ctx, w, r, nil) // nothing was copied: this kernel or file system cannot do it
		case err != nil:
			return n, &fs.PathError{Op: "sendfile", Path: r.Name(), Err: err}
		case m == 0:
			return n, nil
		default:
			n += int64(m)
		}
	}
}

// copyBuffer fits into a processor's cache.
const copyBuffer = 64 << 10

// copyAll copies until the end, or until ctx is cancelled. It hashes what it copies if h is not nil.
func copyAll(ctx context.Context, w io.Writer, r io.Reader, h hash.Hash) (n int64, err error) {
	buf := make([]byte, copyBuffer)
	for {
		if err := context.Cause(ctx); err != nil {
			return n, err
		}
		m, err := r.Read(buf)
		if h != nil {
			h.Write(buf[:m])
		}
		if _, err := w.Write(buf[:m]); err != nil {
			return n, err
		}
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
