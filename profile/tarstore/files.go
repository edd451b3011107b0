package tarstore

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
	"github.com/export-profile/export-profile/rootfs"
)

// Files returns the files of a store object. They can be walked repeatedly and concurrently until the store is closed.
func (s *Store) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		i, err := s.object(p)
		if err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		restored := func(yield func(rootfs.Entry, error) bool) {
			w := walk{s, ctx, func(string) (bool, error) { return true, nil }, yield}
			w.walk(i, p.Root())
		}
		restore := func(name string) (bool, error) { return s.names.Restore(ctx, p, name, restored) }
		w := walk{s, ctx, restore, yield}
		w.walk(i, p.Root())
	}
}

// RestoreNames sets how to restore names that Nix has changed. It must precede the first walk.
func (s *Store) RestoreNames(r *casehack.Restorer) { s.names = r }

// walk walks the files of an object.
type walk struct {
	*Store
	ctx     context.Context
	restore func(name string) (bool, error) // decides whether to restore the names of the object
	yield   func(rootfs.Entry, error) bool
}

// walk walks a node and all nodes below it. It returns false if the walk was stopped.
// The recursion is at most maxDepth deep.
func (w *walk) walk(i id, path string) bool {
	e, err := w.entry(i, path)
	if err == nil && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	var children []child
	if err == nil {
		children, err = w.children(i)
	}
	if err != nil {
		w.yield(rootfs.Entry{}, err)
		return false
	}
	if !w.yield(e, nil) {
		return false
	}
	for _, c := range children {
		if !w.walk(c.id, path+"/"+c.name) {
			return false
		}
	}
	return true
}

// child is a file in a directory, with its name in the store object.
type child struct {
	id   id
	name string
}

// children returns the files in a directory, with their original names if those are to be restored.
func (w *walk) children(i id) ([]child, error) {
	ids := w.tree.children(i)
	children := make([]child, len(ids))
	restore, asked := false, false
	for i, id := range ids {
		name := w.tree.nodes[id].name
		original, changed := casehack.Original(name)
		if changed && !asked {
			var err error
			if restore, err = w.restore(name); err != nil {
				return nil, err
			}
			asked = true
		}
		if changed && restore {
			name = original
		}
		children[i] = child{id, name}
	}
	if restore {
		slices.SortFunc(children, func(a, b child) int { return cmp.Compare(a.name, b.name) })
	}
	return children, nil
}

// entry converts a node to an entry.
func (s *Store) entry(i id, path string) (rootfs.Entry, error) {
	n := s.tree.nodes[i]
	switch n.kind {
	case directory:
		return rootfs.Dir(path, 0o555), nil
	case link:
		if err := rootfs.CheckTarget(n.target); err != nil {
			return rootfs.Entry{}, fmt.Errorf("%q in the tar: %w", "/"+path, err)
		}
		return rootfs.Link(path, n.target), nil
	case file:
		perm := fs.FileMode(0o444)
		if n.executable {
			perm = 0o555
		}
		return rootfs.File(path, perm, n.size, func() (io.ReadCloser, error) {
			return io.NopCloser(content(s.in, n)), nil
		}), nil
	case brokenLink:
		return rootfs.Entry{}, fmt.Errorf("%q in the tar is a hard link that %s", "/"+path, n.target)
	}
	return rootfs.Entry{}, fmt.Errorf("%q in the tar is a %s, which a store object cannot contain", "/"+path, n.kind)
}
