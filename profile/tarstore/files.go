package tarstore

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/export-profile/export-profile/profile"
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
		s.walk(ctx, i, p.Root(), yield)
	}
}

// walk walks a node and all nodes below it. It returns false if the walk was stopped.
// The recursion is at most maxDepth deep.
func (s *Store) walk(ctx context.Context, i id, path string, yield func(rootfs.Entry, error) bool) bool {
	e, err := s.entry(i, path)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		yield(rootfs.Entry{}, err)
		return false
	}
	if !yield(e, nil) {
		return false
	}
	for _, c := range s.tree.children(i) {
		if !s.walk(ctx, c, path+"/"+s.tree.nodes[c].name, yield) {
			return false
		}
	}
	return true
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
