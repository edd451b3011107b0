package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// node is a file, directory or link of the image, as the layers up to now have it.
// Nodes of a layer that is finished do not change: a later layer that changes one copies it,
// and the directories above it. So what differs between two layers is found by comparing pointers.
type node struct {
	rootfs.Entry          // Open only of what was added
	sum          [32]byte // of an added file's content
	added        bool     // by a change, and not from the parts below
	from         origin
	layer        int // that may change it
	children     map[string]*node

	object string // the root of a store object whose entries are not known yet
}

// origin is who brought something, for people: a change with its layer, or one of these.
type origin string

const (
	fromBase  origin = "the image's base"
	fromLower origin = "the base image"
	fromStore origin = "the store"
)

func (n *node) what() string {
	switch {
	case n.IsDir():
		return "directory"
	case n.IsLink():
		return "link"
	}
	return "file"
}

// tree is the image as it is after the changes so far.
type tree struct {
	root  *node
	layer int
	view  *rootfs.View
	rules *rules
	allow bool  // rules reach into store objects
	err   error // the first object that could not be looked at
}

func newTree(view *rootfs.View, r *rules, allow bool) *tree {
	return &tree{root: &node{Entry: rootfs.Dir("", 0o755)}, view: view, rules: r, allow: allow}
}

// load finds out what is in a store object.
func (t *tree) load(n *node) {
	root := n.object
	if root == "" {
		return
	}
	n.object = ""
	entries, err := t.view.Entries(root)
	if err != nil {
		if t.err == nil {
			t.err = err
		}
		return
	}
	within := map[string]*node{root: n}
	for _, e := range entries {
		if t.allow {
			t.rules.apply(&e)
		}
		if e.Path == root {
			n.Entry = e
			continue
		}
		child := &node{Entry: e, from: n.from}
		parent, name := cut(e.Path)
		above := within[parent]
		if above.children == nil {
			above.children = make(map[string]*node)
		}
		above.children[name] = child
		if e.IsDir() {
			within[e.Path] = child
		}
	}
}

// child is what has that name in a directory, or nil.
func (t *tree) child(n *node, name string) *node {
	next := n.children[name]
	if next != nil {
		t.load(next)
	}
	return next
}

// find is what is at a path without links, or nil.
func (t *tree) find(path string) *node {
	n := t.root
	if path == "" {
		return n
	}
	for name := range strings.SplitSeq(path, "/") {
		if n = t.child(n, name); n == nil {
			return nil
		}
	}
	return n
}

// resolve is the place of a path when the links in it are followed; see rootfs.Follow.
func (t *tree) resolve(path string, follow bool) (string, error) {
	place, err := rootfs.Follow(t.root, path, follow, func(at *node, name string) (*node, string, error) {
		if !at.IsDir() {
			return nil, "", fmt.Errorf("%q is a %s of %s, and not a directory", "/"+at.Path, at.what(), at.from)
		}
		next := t.child(at, name)
		if next == nil || !next.IsLink() {
			return next, "", nil
		}
		return next, next.Target, nil
	})
	if errors.Is(err, rootfs.ErrLinks) {
		err = fmt.Errorf("%q: %w", "/"+path, err)
	}
	return place, err
}

// own is the node itself if this layer may change it, else a copy.
func (t *tree) own(n *node) *node {
	if n.layer == t.layer {
		return n
	}
	c := *n
	c.layer = t.layer
	c.children = maps.Clone(n.children)
	return &c
}

// dir is the directory at a path without links, for changing. Directories that are missing are made.
func (t *tree) dir(path string, from origin) (*node, error) {
	t.root = t.own(t.root)
	at := t.root
	if path == "" {
		return at, nil
	}
	for i := 0; i >= 0; {
		end := strings.IndexByte(path[i:], '/')
		place := path
		if end >= 0 {
			place = path[:i+end]
		}
		name := place[i:]
		next := t.child(at, name)
		switch {
		case next == nil:
			next = &node{Entry: rootfs.Dir(place, 0o755), from: from, layer: t.layer, added: true}
			t.rules.apply(&next.Entry)
		case !next.IsDir():
			return nil, fmt.Errorf("%q is a %s of %s, and not a directory: %w", "/"+place, next.what(), next.from, fs.ErrExist)
		default:
			next = t.own(next)
		}
		if at.children == nil {
			at.children = make(map[string]*node)
		}
		at.children[name] = next
		at = next
		if end < 0 {
			break
		}
		i += end + 1
	}
	return at, nil
}

// set puts something at a path without links, in the place of what is there.
func (t *tree) set(n *node) error {
	parent, name := cut(n.Path)
	above, err := t.dir(parent, n.from)
	if err != nil {
		return err
	}
	n.layer, n.added = t.layer, true
	t.rules.apply(&n.Entry)
	if above.children == nil {
		above.children = make(map[string]*node)
	}
	above.children[name] = n
	return nil
}

// remove takes away what is at a path without links.
func (t *tree) remove(path string) error {
	parent, name := cut(path)
	above, err := t.dir(parent, "")
	if err != nil {
		return err
	}
	delete(above.children, name)
	return nil
}

// insert puts an entry of the parts below where it is.
func (t *tree) insert(n *node) error {
	parent, name := cut(n.Path)
	above := t.root
	if parent != "" {
		if above = t.find(parent); above == nil || !above.IsDir() {
			return errors.New("no directory to be in")
		}
	}
	if had := above.children[name]; had != nil && had.IsDir() && n.IsDir() {
		n.children, n.from = had.children, had.from // of the image below
	}
	if above.children == nil {
		above.children = make(map[string]*node)
	}
	above.children[name] = n
	return nil
}

// insertLower puts the files of an image below everything.
func (t *tree) insertLower(l *rootfs.Lower) error {
	for e := range l.Within("") {
		n := &node{Entry: e.Entry, from: fromLower}
		if e.Other {
			n.Mode = n.Mode.Perm() // in whose place anything can be put
		}
		if err := t.insert(n); err != nil {
			return fmt.Errorf("the base image: %q: %w", e.Path, err)
		}
	}
	return nil
}

// names are those of all children of both, in path order.
func names(a, b *node) []string {
	var all []string
	if a != nil {
		all = slices.AppendSeq(all, maps.Keys(a.children))
	}
	if b != nil {
		all = slices.AppendSeq(all, maps.Keys(b.children))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func cut(path string) (parent, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
