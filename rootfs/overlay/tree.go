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

// node is a file, directory or link of the image after the changes so far.
// Nodes of a finished layer never change: a later layer copies a node, and the directories above it,
// before it changes them. So comparing pointers finds the difference between two layers.
type node struct {
	rootfs.Entry          // Open is set only if added
	sum          [32]byte // SHA-256 of an added file's content
	added        bool     // added by a change, not from the parts below
	from         origin
	layer        int // the layer that may change it
	children     map[string]*node

	object string // root of a store object whose entries are not loaded yet
}

// origin names the source of a node in messages: a change with its layer, or one of these constants.
type origin string

const (
	fromBase  origin = "the image's base"
	fromLower origin = "the base image"
	fromStore origin = "the store"
)

func (n *node) kind() string {
	switch {
	case n.IsDir():
		return "directory"
	case n.IsLink():
		return "link"
	}
	return "file"
}

// tree is the image after the changes so far.
type tree struct {
	root  *node
	layer int
	view  *rootfs.View
	rules *rules
	allow bool  // rules reach into store objects
	err   error // the first error of load
}

func newTree(view *rootfs.View, r *rules, allow bool) *tree {
	return &tree{root: &node{Entry: rootfs.Dir("", 0o755)}, view: view, rules: r, allow: allow}
}

// load reads the entries of a store object on first use.
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

// child returns the node of that name in a directory, or nil.
func (t *tree) child(n *node, name string) *node {
	next := n.children[name]
	if next != nil {
		t.load(next)
	}
	return next
}

// find returns the node at a path without links, or nil.
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

// resolve follows the links in a path; see rootfs.Follow.
func (t *tree) resolve(path string, follow bool) (string, error) {
	return t.resolveVia(path, follow, func(*node) {})
}

// resolveVia is resolve, and shows the links that it meets, even one at the end that it does not follow.
func (t *tree) resolveVia(path string, follow bool, met func(link *node)) (string, error) {
	place, err := rootfs.Follow(t.root, path, follow, func(at *node, name string) (*node, string, error) {
		if !at.IsDir() {
			return nil, "", fmt.Errorf("%q is a %s of %s, and not a directory", "/"+at.Path, at.kind(), at.from)
		}
		next := t.child(at, name)
		if next == nil || !next.IsLink() {
			return next, "", nil
		}
		met(next)
		return next, next.Target, nil
	})
	if errors.Is(err, rootfs.ErrLinks) {
		err = fmt.Errorf("%q: %w", "/"+path, err)
	}
	return place, err
}

// own returns n if the current layer may change it, and otherwise a copy.
func (t *tree) own(n *node) *node {
	if n.layer == t.layer {
		return n
	}
	c := *n
	c.layer = t.layer
	c.children = maps.Clone(n.children)
	return &c
}

// dir returns the directory at a path without links, ready to change. It makes missing directories.
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
			return nil, fmt.Errorf("%q is a %s of %s, and not a directory: %w", "/"+place, next.kind(), next.from, fs.ErrExist)
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

// set puts a node at its path, which has no links, and replaces what was there.
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

// remove removes the node at a path without links.
func (t *tree) remove(path string) error {
	parent, name := cut(path)
	above, err := t.dir(parent, "")
	if err != nil {
		return err
	}
	delete(above.children, name)
	return nil
}

// insert adds a node of the parts or the image below.
func (t *tree) insert(n *node) error {
	parent, name := cut(n.Path)
	above := t.root
	if parent != "" {
		if above = t.find(parent); above == nil || !above.IsDir() {
			return errors.New("its directory is missing")
		}
	}
	if had := above.children[name]; had != nil && had.IsDir() && n.IsDir() {
		n.children, n.from = had.children, had.from // keep those of the image below
	}
	if above.children == nil {
		above.children = make(map[string]*node)
	}
	above.children[name] = n
	return nil
}

// insertLower inserts the files of the image below.
func (t *tree) insertLower(l *rootfs.Lower) error {
	for e := range l.Within("") {
		n := &node{Entry: e.Entry, from: fromLower}
		if e.Other {
			n.Mode = n.Mode.Perm() // a device, pipe or socket can be replaced like a file
		}
		if err := t.insert(n); err != nil {
			return fmt.Errorf("the base image: %q: %w", e.Path, err)
		}
	}
	return nil
}

// names returns the names of all children of a and b, in path order.
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
