package overlay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs"
)

// Limits of a source.
const (
	maxItems     = 1 << 20   // files and directories
	maxPathBytes = 256 << 20 // bytes of all their paths, as in rootfs.View: a few deep paths have as many as a million others
)

// source holds what one add contributes, before it gets a place in the image.
type source struct {
	single  bool   // the source is one file
	items   []item // in path order
	xattrs  bool   // the source is a tar with extended attributes
	linked  bool   // the source is a tar with an entry below one of its links
	bytes   int64  // of the paths in a directory
	closers []io.Closer
}

// item is an entry of a source, with a path relative to it.
type item struct {
	rootfs.Entry
	sum [32]byte // SHA-256 of a file's content
}

func hostMode(executable bool) fs.FileMode {
	if executable {
		return 0o755
	}
	return 0o644
}

// readSource reads a source once. The caller closes its closers, even after an error.
func (a *applier) readSource(ctx context.Context, name string) (*source, error) {
	if name == Standard {
		if a.options.Stdin == nil {
			return nil, errors.New("standard input cannot be read here, or was read already")
		}
		return a.readStream(ctx, a.options.Stdin)
	}
	if fi, err := os.Stat(name); err == nil && fi.Mode()&fs.ModeNamedPipe != 0 {
		pipe, err := os.Open(name) // waits for a writer
		if err != nil {
			return nil, err
		}
		defer pipe.Close()
		return a.readStream(ctx, pipe)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	switch {
	case fi.IsDir():
		f.Close()
		return readDirectory(ctx, name)
	case fi.Mode().IsRegular():
		s, err := a.readFile(ctx, f, fi.Size(), fi.Mode()&0o100 != 0, func() (*os.File, error) { return openRegular(name) })
		if s == nil {
			s = &source{}
		}
		s.closers = append(s.closers, f)
		return s, err
	}
	return nil, errors.Join(fmt.Errorf("%q is neither a file, a directory nor a pipe: %v", name, fi.Mode().Type()), f.Close())
}

// openRegular opens a file that was regular before, and fails if it no longer is.
func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return stillRegular(f, nil)
}

// stillRegular checks that f is a regular file and, if was is given, the same file as was. Otherwise it closes f.
func stillRegular(f *os.File, was fs.FileInfo) (*os.File, error) {
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || was != nil && !os.SameFile(was, fi)) {
		err = errChanged
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readStream copies a stream to a nameless file and reads that.
func (a *applier) readStream(ctx context.Context, r io.Reader) (*source, error) {
	f, size, err := spool(ctx, a.options.SpoolDir, r)
	if err != nil {
		return nil, err
	}
	s, err := a.readFile(ctx, f, size, false, nil)
	if s == nil {
		s = &source{}
	}
	s.closers = append(s.closers, f)
	return s, err
}

// readFile reads a tar or a single file. With reopen, a single file is opened again each time it is read.
func (a *applier) readFile(ctx context.Context, f *os.File, size int64, executable bool, reopen func() (*os.File, error)) (*source, error) {
	s := &source{}
	if isTar(f) {
		return s, s.readTar(ctx, f, size)
	}
	unpacked, n, err := a.decompressTar(ctx, f)
	if err != nil {
		return nil, err
	}
	if unpacked != nil {
		s.closers = append(s.closers, unpacked)
		return s, s.readTar(ctx, unpacked, n)
	}
	s.single = true
	open := func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(f, 0, size)), nil }
	if reopen != nil {
		open = func() (io.ReadCloser, error) { return reopen() }
	}
	i, err := readItem(ctx, rootfs.File("file", hostMode(executable), size, open))
	s.items = []item{i}
	return s, err
}

// readItem reads a file and hashes it. Later reads through the item fail if the content has changed.
func readItem(ctx context.Context, e rootfs.Entry) (i item, err error) {
	r, err := e.Open()
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	n, err := copyContext(ctx, h, r)
	if err != nil {
		return i, err
	}
	e.Size = n
	i.sum = [32]byte(h.Sum(nil))
	open, sum := e.Open, i.sum
	e.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return &checkedReader{r: r, hash: sha256.New(), left: n, sum: sum}, nil
	}
	i.Entry = e
	return i, nil
}

// readDirectory reads everything in a directory. It never opens a file outside,
// even if the directory changes while it is read.
func readDirectory(ctx context.Context, name string) (*source, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	s := &source{closers: []io.Closer{root}}
	if err := s.walk(ctx, root, "."); err != nil {
		return s, fmt.Errorf("read %q: %w", name, err)
	}
	return s, nil
}

func (s *source) walk(ctx context.Context, root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		path := filepath.Join(dir, entry.Name())
		fi, err := root.Lstat(path)
		if err != nil {
			return err
		}
		if err := s.addFile(ctx, root, path, fi); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		if fi.IsDir() {
			if err := s.walk(ctx, root, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// addFile adds one file, link or directory to the source.
func (s *source) addFile(ctx context.Context, root *os.Root, path string, fi fs.FileInfo) error {
	s.bytes += int64(len(path))
	switch {
	case strings.HasPrefix(fi.Name(), whiteoutPrefix):
		return errWhiteoutName
	case s.bytes > maxPathBytes:
		return fmt.Errorf("paths of more than %d bytes", maxPathBytes)
	case len(s.items) >= maxItems:
		return fmt.Errorf("more than %d files and directories", maxItems)
	case strings.Count(path, "/") >= rootfs.MaxDepth:
		return fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
	case fi.IsDir():
		s.items = append(s.items, item{Entry: rootfs.Dir(path, 0o755)})
		return nil
	case fi.Mode().Type() == fs.ModeSymlink:
		target, err := root.Readlink(path)
		if err == nil {
			err = rootfs.CheckTarget(target)
		}
		s.items = append(s.items, item{Entry: rootfs.Link(path, target)})
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("is neither a file, a directory nor a link: %v", fi.Mode().Type())
	}
	open := func(was fs.FileInfo) (*os.File, error) {
		f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return nil, err
		}
		return stillRegular(f, was)
	}
	was := fi // checked only in the first read: later, an equal file may take its place
	i, err := readItem(ctx, rootfs.File(path, hostMode(fi.Mode()&0o100 != 0), fi.Size(), func() (io.ReadCloser, error) {
		defer func() { was = nil }()
		return open(was)
	}))
	s.items = append(s.items, i)
	return err
}
