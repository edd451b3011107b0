package overlay

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// linkOverDir replaces a directory of the image's base with a link, and moves its files to where the link leads.
func (a *applier) linkOverDir(c Change, wanted string, link, had *node) error {
	if foreign := a.tree.firstForeign(had); foreign != nil {
		return conflict(link, had, wanted, fmt.Sprintf("%q in it is of %s", "/"+foreign.Path, foreign.from))
	}
	if err := a.set(c, wanted, link); err != nil {
		return err
	}
	end, err := a.tree.resolve(link.Path, true)
	if err == nil {
		err = a.move(c, had, end)
	}
	if err != nil {
		return fmt.Errorf("%q cannot become a link: the directory's contents, of %s, cannot move through it: %w", wanted, had.from, err)
	}
	return nil
}

// firstForeign returns the first node in a directory, in path order, that is not from the image's base, or nil.
func (t *tree) firstForeign(dir *node) *node {
	for _, name := range slices.Sorted(maps.Keys(dir.children)) {
		n := t.child(dir, name)
		if n.from != fromBase {
			return n
		}
		if n := t.firstForeign(n); n != nil {
			return n
		}
	}
	return nil
}

// move moves a node of the image's base to another path, with everything in it. A file that is already there stays.
func (a *applier) move(c Change, n *node, to string) error {
	e, sum := n.Entry, n.sum
	if e.IsLink() && !path.IsAbs(e.Target) {
		parent, _ := cut(n.Path)
		e.Target = path.Join("/"+parent, e.Target)
	}
	at, err := a.tree.resolve(to, e.IsDir())
	if err != nil {
		return err
	}
	e.Path = at
	switch had := a.tree.find(at); {
	case had == nil:
		if e.IsRegular() && !n.added {
			e.Open = a.openBase(n.Path)
			if sum, err = rootfs.SumContent(e); err != nil {
				return fmt.Errorf("read %q: %w", n.Path, err)
			}
		}
		if err := a.set(c, "/"+to, &node{Entry: e, sum: sum, from: n.from}); err != nil {
			return err
		}
	case !e.IsDir():
		if !e.IsLink() || !a.tree.sameEnd(e.Target, at) {
			a.note("%q of %s gives way to the %s of %s", "/"+at, n.from, had.kind(), had.from)
		}
	case !had.IsDir():
		return fmt.Errorf("%q is a %s of %s, and not a directory: %w", "/"+at, had.kind(), had.from, fs.ErrExist)
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		if err := a.move(c, n.children[name], strings.TrimPrefix(at+"/"+name, "/")); err != nil {
			return err
		}
	}
	return nil
}

// sameEnd reports whether two paths lead to the same place.
func (t *tree) sameEnd(a, b string) bool {
	endA, errA := t.resolve(strings.TrimPrefix(a, "/"), true)
	endB, errB := t.resolve(b, true)
	return errA == nil && errB == nil && endA == endB
}

// openBase returns a function that opens a file of the base part, independently of any walk of its tree.
func (o *Overlay) openBase(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		next, stop := iter.Pull2(o.base)
		for {
			e, err, ok := next()
			switch {
			case !ok:
				err = fs.ErrNotExist
			case err == nil && e.Path != path:
				continue
			}
			var r io.ReadCloser
			if err == nil {
				r, err = e.Open()
			}
			if err != nil {
				stop()
				return nil, err
			}
			return &baseFile{r, stop}, nil
		}
	}
}

// baseFile is an open file together with the walk that yielded it. Closing the file ends the walk.
type baseFile struct {
	io.ReadCloser
	stop func()
}

func (f *baseFile) Close() error {
	defer f.stop()
	return f.ReadCloser.Close()
}
