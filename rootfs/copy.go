package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// copyStep is the number of bytes that are copied between two checks of the context.
const copyStep = 8 << 20

// Copy copies the rest of a reader until the context is cancelled.
// Between two files, or a file and a pipe, the kernel copies if it can.
func Copy(ctx context.Context, to io.Writer, from io.Reader) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, copyStep); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

var drainBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// Drain reads the rest of a reader that hashes or checks what it reads.
// Its reads are large, while copying to [io.Discard] takes 8 KiB at a time.
func Drain(r io.Reader) error {
	buf := drainBuffers.Get().(*[128 << 10]byte)
	defer drainBuffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf[:])
	return err
}

// file writes the content of a regular file. The caller sets its mode and time.
func (w *dirWriter) file(ctx context.Context, e Entry) (err error) {
	to, err := os.OpenFile(w.place(e.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	from, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if f, ok := from.(*os.File); ok && e.Size > 0 && w.clone(to, f) {
		fi, err := to.Stat()
		if err == nil && fi.Size() != e.Size {
			err = fmt.Errorf("read %q: changed while it was read: %d bytes of %d", e.Path, fi.Size(), e.Size)
		}
		w.progress(e.Size)
		return err
	}
	// io.CopyN lets the kernel copy between two files (copy_file_range).
	for left := e.Size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := io.CopyN(to, from, min(left, copyStep))
		w.progress(n)
		left -= n
		if err == io.EOF {
			return fmt.Errorf("read %q: changed while it was read: %d bytes of %d", e.Path, e.Size-left, e.Size)
		}
		if err != nil {
			return err
		}
	}
	var one [1]byte
	n, err := from.Read(one[:])
	switch {
	case n > 0:
		return fmt.Errorf("read %q: changed while it was read: more than %d bytes", e.Path, e.Size)
	case err == nil || errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// clone makes to share the blocks of from (reflink), if the file system can.
func (w *dirWriter) clone(to, from *os.File) bool {
	if w.noClone.Load() {
		return false
	}
	if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != nil {
		w.noClone.Store(true)
		return false
	}
	return true
}

func (w *dirWriter) progress(n int64) {
	if w.Progress != nil && n > 0 {
		w.Progress(n)
	}
}
