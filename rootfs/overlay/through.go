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

// through puts a link where a directory of the image's base is, whose files go to where the link leads.
func (a *applier) through(c Change, wanted string, link, had *node) error {
	if other := a.tree.other(had); other != nil {
		return conflict(link, had, wanted, fmt.Sprintf("%q in it is of %s", "/"+other.Path, other.from))
	}
	if err := a.set(c, wanted, link); err != nil {
		return err
	}
	end, err := a.tree.resolve(link.Path, true)
	if err == nil {
		err = a.move(c, had, end)
	}
	if err != nil {
		return fmt.Errorf("%q is to be a link, and what is in that directory of %s cannot go through it: %w", wanted, had.from, err)
	}
	return nil
}

// other is the first in a directory, in path order, that is not of the image's base, or nil.
func (t *tree) other(dir *node) *node {
	for _, name := range slices.Sorted(maps.Keys(dir.children)) {
		n := t.child(dir, name)
		if n.from != fromBase {
			return n
		}
		if n := t.other(n); n != nil {
			return n
		}
	}
	return nil
}

// move puts something of the image's base, with all that is in it, at another path, unless something is there.
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
			a.note("%q of %s gives way to the %s of %s", "/"+at, n.from, had.what(), had.from)
		}
	case !had.IsDir():
		return fmt.Errorf("%q is a %s of %s, and not a directory: %w", "/"+at, had.what(), had.from, fs.ErrExist)
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		if err := a.move(c, n.children[name], strings.TrimPrefix(at+"/"+name, "/")); err != nil {
			return err
		}
	}
	return nil
}

// sameEnd says whether two paths lead to the same.
func (t *tree) sameEnd(a, b string) bool {
	endA, errA := t.resolve(strings.TrimPrefix(a, "/"), true)
	endB, errB := t.resolve(b, true)
	return errA == nil && errB == nil && endA == endB
}

// openBase opens a file of the base part at any time, also when others of its entries have been asked for.
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

// baseFile holds the walk of the tree that its file comes from.
type baseFile struct {
	io.ReadCloser
	stop func()
}

func (f *baseFile) Close() error {
	defer f.stop()
	return f.ReadCloser.Close()
}
