package overlay

import (
	"maps"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Flatten merges the layers into the parts, as unpacking them in order would,
// for rootfs.WriteDir and for images of a single layer.
// The base part takes the changes. Unchanged store objects stay as they are, and hidden ones are left out.
// A changed part has no key.
func (o *Overlay) Flatten() []rootfs.Part {
	var parts []rootfs.Part
	base := rootfs.Part{Name: "base", Tree: func(func(rootfs.Entry, error) bool) {}}
	for _, p := range o.Parts {
		if p.Root == "" {
			base = p
			continue
		}
		if o.tree != nil {
			switch n := o.tree.find(p.Root); n {
			case nil:
				continue
			case o.objects[p.Root]:
			default:
				p.Key, p.Changed, p.Tree = "", true, mergeTree(p.Tree, listNodes(nil, n, nil))
			}
		}
		parts = append(parts, p)
	}
	if len(o.Layers) > 0 {
		nodes := listNodes(nil, o.tree.root, o.objects)
		base.Key, base.Tree, base.Size = "", mergeTree(base.Tree, nodes), 0
		for _, n := range nodes {
			base.Size += n.Size
		}
	}
	return append(parts, base)
}

// listNodes appends n and everything below it to all, in path order. It skips the subtrees whose paths are in without.
func listNodes(all []*node, n *node, without map[string]*node) []*node {
	if n.Path != "" {
		if without[n.Path] != nil {
			return all
		}
		all = append(all, n)
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		all = listNodes(all, n.children[name], without)
	}
	return all
}

// mergeTree yields the nodes, which are in path order. Files that no change added are read from the tree below.
func mergeTree(below rootfs.Tree, nodes []*node) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		left := nodes
		for e, err := range below {
			if err != nil {
				yield(rootfs.Entry{}, err)
				return
			}
			for len(left) > 0 && rootfs.ComparePaths(left[0].Path, e.Path) < 0 {
				if !yield(left[0].Entry, nil) {
					return
				}
				left = left[1:]
			}
			if len(left) == 0 || left[0].Path != e.Path {
				continue // hidden
			}
			n := left[0]
			left = left[1:]
			is := n.Entry
			if n.IsRegular() && !n.added {
				is.Open = e.Open
			}
			if !yield(is, nil) {
				return
			}
		}
		for _, n := range left {
			if !yield(n.Entry, nil) {
				return
			}
		}
	}
}
