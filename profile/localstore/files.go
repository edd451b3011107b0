package localstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// maxOpen limits how many directories a walk keeps open, the innermost ones.
// Real objects are not deeper. In a deeper one, the walk returns to a closed directory through "..".
const maxOpen = 32

// walk returns the tree of an object's files on disk. It restores names that Nix has changed; see package casehack.
func (s *Store) walk(ctx context.Context, p profile.Path) rootfs.Tree {
	restored := s.walkNames(ctx, p, func(string) (bool, error) { return true, nil })
	return s.walkNames(ctx, p, func(name string) (bool, error) { return s.names.Restore(ctx, p, name, restored) })
}

// walkNames returns the tree of an object's files on disk.
// If a name looks changed, restore decides whether to restore the names of the object.
func (s *Store) walkNames(ctx context.Context, p profile.Path, restore func(name string) (bool, error)) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		w := walk{ctx: ctx, buffers: buffers.Get().(*walkBuffers), restore: restore}
		defer w.close()
		e, err := w.enter(int(s.storeDir.Fd()), p.Base(), unix.DT_UNKNOWN, p.Root())
		runtime.KeepAlive(s.storeDir)
		for err == nil {
			if !yield(e, nil) {
				return
			}
			if e, err = w.next(); err == io.EOF {
				return
			}
		}
		yield(rootfs.Entry{}, err)
	}
}

// walk walks the directories of an object.
type walk struct {
	ctx     context.Context
	levels  []level // from the object down to the current directory
	serial  int     // of the current entry; files of earlier entries can no longer be opened
	st      unix.Stat_t
	buffers *walkBuffers

	restore func(name string) (bool, error)
}

// walkBuffers are reused by the walks of other objects, which are often small.
type walkBuffers struct {
	entries [32 << 10]byte // for reading directories
	target  [rootfs.MaxTarget + 1]byte
}

var buffers = sync.Pool{New: func() any { return new(walkBuffers) }}

// level is one directory on the way down to the current one.
type level struct {
	fd       int // -1 if it was closed because of maxOpen
	dev, ino uint64
	path     string
	entries  directory
	next     int // of entries
}

// next returns the entry after the current one, or io.EOF.
func (w *walk) next() (rootfs.Entry, error) {
	if w.ctx.Err() != nil {
		return rootfs.Entry{}, context.Cause(w.ctx)
	}
	for len(w.levels) > 0 {
		dir := &w.levels[len(w.levels)-1]
		if dir.next < len(dir.entries.order) {
			b, kind := dir.entries.at(dir.next)
			dir.next++
			path := dir.path + "/" + string(b)
			name := path[len(dir.path)+1:]
			if dir.entries.restored {
				path = dir.path + "/" + shown(name)
			}
			return w.enter(dir.fd, name, kind, path)
		}
		more, err := dir.entries.nextRange(dir.fd, w.buffers.entries[:])
		switch {
		case err != nil:
			return rootfs.Entry{}, readError(dir.path, err)
		case more:
			dir.next = 0
			continue
		}
		if err := w.up(); err != nil {
			return rootfs.Entry{}, err
		}
	}
	return rootfs.Entry{}, io.EOF
}

// enter makes the entry of a file in a directory. If the file is a directory, it descends into it.
func (w *walk) enter(dir int, name string, kind uint8, path string) (rootfs.Entry, error) {
	w.serial++
	// Directories and links need no stat, since their modes are fixed.
	if kind != unix.DT_DIR && kind != unix.DT_LNK {
		if err := retryEINTR(func() error { return unix.Fstatat(dir, name, &w.st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			return rootfs.Entry{}, readError(path, err)
		}
		kind = uint8(w.st.Mode & unix.S_IFMT >> 12)
	}
	switch kind {
	case unix.DT_DIR:
		if err := w.down(dir, name, path); err != nil {
			return rootfs.Entry{}, readError(path, err)
		}
		return rootfs.Dir(path, 0o555), nil
	case unix.DT_LNK:
		var n int
		err := retryEINTR(func() (err error) { n, err = unix.Readlinkat(dir, name, w.buffers.target[:]); return err })
		if err != nil {
			return rootfs.Entry{}, readError(path, err)
		}
		return rootfs.Link(path, string(w.buffers.target[:n])), nil
	case unix.DT_REG:
		perm := fs.FileMode(0o444)
		if w.st.Mode&unix.S_IXUSR != 0 {
			perm = 0o555
		}
		serial, size := w.serial, w.st.Size
		return rootfs.File(path, perm, size, func() (io.ReadCloser, error) {
			if w.serial != serial {
				return nil, readError(path, errors.New("opened after the walk moved on"))
			}
			return openEntry(dir, name, path, size)
		}), nil
	}
	return rootfs.Entry{}, readError(path, fmt.Errorf("is a %s, which a store object cannot contain", kindName(kind)))
}

// down opens a directory and reads its entries.
func (w *walk) down(parent int, name, path string) error {
	if len(w.levels) > rootfs.MaxDepth {
		return fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
	}
	fd, err := openat(parent, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	entries, err := list(fd, w.buffers.entries[:])
	if err != nil {
		unix.Close(fd)
		return err
	}
	if err := w.restoreNames(&entries); err != nil {
		unix.Close(fd)
		return err
	}
	w.levels = append(w.levels, level{fd: fd, path: path, entries: entries})
	if i := len(w.levels) - 1 - maxOpen; i >= 0 {
		far := &w.levels[i]
		var st unix.Stat_t
		if err := unix.Fstat(far.fd, &st); err != nil {
			return err
		}
		far.dev, far.ino = uint64(st.Dev), st.Ino
		unix.Close(far.fd)
		far.fd = -1
	}
	return nil
}

// restoreNames restores the names in a directory, if that is right for the object.
func (w *walk) restoreNames(entries *directory) error {
	if entries.changed == "" {
		return nil
	}
	yes, err := w.restore(entries.changed)
	if yes {
		entries.restoreNames()
	}
	return err
}

// up leaves the current directory.
func (w *walk) up() error {
	last := len(w.levels) - 1
	dir := w.levels[last]
	w.levels = w.levels[:last]
	defer unix.Close(dir.fd)
	if last == 0 || w.levels[last-1].fd >= 0 {
		return nil
	}
	parent := &w.levels[last-1]
	fd, err := openat(dir.fd, "..", unix.O_DIRECTORY)
	if err != nil {
		return readError(parent.path, err)
	}
	parent.fd = fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return readError(parent.path, err)
	}
	if uint64(st.Dev) != parent.dev || st.Ino != parent.ino {
		return readError(parent.path, errChanged)
	}
	return nil
}

func (w *walk) close() {
	w.serial++
	buffers.Put(w.buffers)
	for _, dir := range w.levels {
		if dir.fd >= 0 {
			unix.Close(dir.fd)
		}
	}
}

// openEntry opens a regular file. It fails if the file was replaced or changed its size since the walk saw it.
func openEntry(dir int, name, path string, size int64) (io.ReadCloser, error) {
	// Without O_NONBLOCK, opening a named pipe in the file's place would block forever.
	fd, err := openat(dir, name, unix.O_NONBLOCK)
	if err != nil {
		return nil, readError(path, err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errChanged
	}
	if err == nil && st.Size != size {
		err = fmt.Errorf("%w: %d bytes of %d", errChanged, st.Size, size)
	}
	if err != nil {
		unix.Close(fd)
		return nil, readError(path, err)
	}
	return os.NewFile(uintptr(fd), "/"+path), nil
}

// openat opens a file for reading without following a link.
func openat(dir int, name string, flags int) (fd int, err error) {
	err = retryEINTR(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0)
		return err
	})
	return fd, err
}

// retryEINTR repeats a system call that a signal interrupted, as package os does.
func retryEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

var errChanged = errors.New("changed while it was read")

// readError adds the path of a file to an error, and explains errors of missing and replaced files.
// Objects do not change: if an object in the database lacks a file, it is damaged.
func readError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("missing in a registered object: the store is damaged, or the object was just garbage-collected: %w", err)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		err = fmt.Errorf("%w: %w", errChanged, err)
	}
	return fmt.Errorf("read %w", &ReadError{"/" + path, err})
}

// ReadError reports a file of a store that cannot be read.
type ReadError struct {
	Path string
	Err  error
}

func (e *ReadError) Error() string { return fmt.Sprintf("%q: %v", e.Path, e.Err) }
func (e *ReadError) Unwrap() error { return e.Err }

func kindName(kind uint8) string {
	switch kind {
	case unix.DT_FIFO:
		return "named pipe"
	case unix.DT_SOCK:
		return "socket"
	case unix.DT_CHR, unix.DT_BLK:
		return "device"
	}
	return fmt.Sprintf("file of kind %d", kind)
}
