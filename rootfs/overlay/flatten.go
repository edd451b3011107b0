package overlay

import (
	"maps"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// Flatten is all parts, with what is on top of them merged into them:
// what an unpacker makes of the layers, as rootfs.WriteDir and a single layer can have it.
// The base part has the changes. Store objects stay as they are unless they are changed;
// those that are hidden are gone. A part that is changed has no key.
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
				p.Key, p.Tree = "", merged(p.Tree, listNodes(nil, n, nil))
			}
		}
		parts = append(parts, p)
	}
	if len(o.Layers) > 0 {
		nodes := listNodes(nil, o.tree.root, o.objects)
		base.Key, base.Tree, base.Size = "", merged(base.Tree, nodes), 0
		for _, n := range nodes {
			base.Size += n.Size
		}
	}
	return append(parts, base)
}

// listNodes lists a node and all below it in path order, without those of other parts.
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

// merged is a tree as the nodes say: its files where they are its own, and all else from the nodes.
func merged(below rootfs.Tree, nodes []*node) rootfs.Tree {
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
