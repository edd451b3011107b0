package localstore

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// root is a directory that is taken for "/": links in it that say /nix mean its own nix.
type root struct {
	dir  string // absolute
	real string // the same without links

	// guard sees to it that nothing leads out of a relocated root, whatever is changed meanwhile.
	// It is nil for "/", which nothing leads out of, and where directories that cannot be read can be passed through.
	guard *os.Root
}

func openRoot(dir string) (*root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &root{dir: dir}
	if r.real, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	if r.relocated() {
		r.guard, err = os.OpenRoot(dir)
	}
	return r, err
}

func (r *root) relocated() bool { return r.real != "/" }

func (r *root) close() error {
	if r.guard == nil {
		return nil
	}
	return r.guard.Close()
}

// within is the place on this machine of a path in the root's file system.
func (r *root) within(name string) string { return filepath.Join(r.dir, name) }

// readlink reads a link at a relative path without links above it.
func (r *root) readlink(name string) (string, error) {
	if r.guard == nil {
		return os.Readlink(r.within(name))
	}
	return r.guard.Readlink(name)
}

// openDir opens a directory at a relative path without links.
func (r *root) openDir(name string) (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_DIRECTORY
	if r.guard == nil {
		return os.OpenFile(r.within(name), flags, 0)
	}
	return r.guard.OpenFile(name, flags, 0)
}

// maxLinks is how many links Linux follows in one path.
const maxLinks = 40

// resolve follows all links in an absolute path of the root's file system.
// The result is relative to the root, and contains none.
// The os.Root could follow some, but does not know that an absolute one begins at the root.
func (r *root) resolve(name string) (string, error) {
	at, rest, links := ".", name, 0
	for rest != "" {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		if elem == "" || elem == "." {
			continue
		}
		if elem == ".." {
			at = path.Dir(at) // of "." it is "."
			continue
		}
		next := path.Join(at, elem)
		target, err := r.readlink(next)
		if errors.Is(err, syscall.EINVAL) {
			at = next
			continue
		}
		if err != nil {
			return "", r.named(next, err)
		}
		if links++; links > maxLinks {
			return "", r.named(name, syscall.ELOOP)
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = target + "/" + rest
	}
	return at, nil
}

// named tells an error with the place on this machine that it is about, which an os.Root does not know.
func (r *root) named(name string, err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%q: %w", r.within(name), err)
}
