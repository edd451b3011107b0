package rootfs

import (
	"io/fs"
	"iter"
	"slices"
	"strings"
)

// EntryMap holds entries by path in little memory. Of each path it keeps only the last element,
// and it keeps no target of a link that its mirrors describe.
// A quarter of a million links take some 25 MB, however deep they are.
type EntryMap struct {
	base    string // the path of root, if that is an entry
	root    mapNode
	count   int
	mirrors []Mirror
}

// Mirror is a directory Dst whose links lead to the same paths below Src.
// Both are relative to the root of the file system.
type Mirror struct{ Dst, Src string }

type mapNode struct {
	name   string
	mode   fs.FileMode
	mirror uint32 // 1 + the index of the mirror that gives the target, 0 without one, or noEntry
	size   int64
	target string
	more   *Entry // if it has an owner or content
	dir    *mapNodes
}

// noEntry marks a node that only holds other nodes.
const noEntry = ^uint32(0)

// NewEntryMap returns an empty map of entries at and below base.
func NewEntryMap(base string, mirrors ...Mirror) *EntryMap {
	return &EntryMap{base: base, root: mapNode{mirror: noEntry}, mirrors: mirrors}
}

// Len returns the number of entries.
func (t *EntryMap) Len() int { return t.count }

// elements iterates over the elements of a path below the base.
func (t *EntryMap) elements(path string) iter.Seq[string] {
	path = strings.TrimPrefix(path[len(t.base):], "/")
	if path == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(path, "/")
}

// find returns the node at a path, which may hold no entry, or nil.
func (t *EntryMap) find(path string) *mapNode {
	n := &t.root
	for name := range t.elements(path) {
		if n = n.dir.find(name); n == nil {
			return nil
		}
	}
	return n
}

// Get returns the entry at a path.
func (t *EntryMap) Get(path string) (Entry, bool) {
	n := t.find(path)
	if n == nil || n.mirror == noEntry {
		return Entry{}, false
	}
	return t.entry(n, path), true
}

func (t *EntryMap) entry(n *mapNode, path string) Entry {
	if n.more != nil {
		return *n.more
	}
	e := Entry{Path: path, Mode: n.mode, Size: n.size, Target: n.target}
	if n.mirror > 0 {
		e.Target = t.mirrors[n.mirror-1].Target(path)
	}
	return e
}

// Target returns the target of the mirror's link at a path below Dst.
func (m Mirror) Target(path string) string { return "/" + m.Src + path[len(m.Dst):] }

// Set stores an entry and replaces the one at its path. Entries below that path stay.
func (t *EntryMap) Set(e Entry) {
	n := &t.root
	for name := range t.elements(e.Path) {
		next := n.dir.find(name)
		if next == nil {
			next = &mapNode{name: strings.Clone(name), mirror: noEntry} // without keeping the whole path alive
			if n.dir == nil {
				n.dir = new(mapNodes)
			}
			n.dir.add(next)
		}
		n = next
	}
	if n.mirror == noEntry {
		t.count++
	}
	n.mode, n.mirror, n.size, n.target, n.more = e.Mode, 0, e.Size, e.Target, nil
	if e.UID != 0 || e.GID != 0 || e.Open != nil {
		n.more = &e
		return
	}
	if !e.IsLink() {
		return
	}
	for i, m := range t.mirrors {
		if m.Contains(e) {
			n.mirror, n.target = uint32(i+1), ""
			return
		}
	}
}

// Contains reports whether a link lies below Dst and leads to where the mirror says.
func (m Mirror) Contains(e Entry) bool {
	if !Within(m.Dst, e.Path) {
		return false
	}
	rest := e.Path[len(m.Dst):] // compared in pieces, to allocate nothing
	return len(e.Target) == 1+len(m.Src)+len(rest) && e.Target[0] == '/' &&
		e.Target[1:1+len(m.Src)] == m.Src && e.Target[1+len(m.Src):] == rest
}

// Remove removes the entry at a path. Entries below it stay.
func (t *EntryMap) Remove(path string) {
	if n := t.find(path); n != nil && n.mirror != noEntry {
		*n = mapNode{name: n.name, mirror: noEntry, dir: n.dir}
		t.count--
	}
}

// Names iterates over the names in a directory, sorted.
func (t *EntryMap) Names(dir string) iter.Seq[string] {
	return func(yield func(string) bool) {
		n := t.find(dir)
		if n == nil {
			return
		}
		for _, child := range n.dir.all() {
			if !yield(child.name) {
				return
			}
		}
	}
}

// All iterates over all entries in path order.
func (t *EntryMap) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) { t.walk(&t.root, t.base, yield) }
}

func (t *EntryMap) walk(n *mapNode, path string, yield func(Entry) bool) bool {
	if n.mirror != noEntry && !yield(t.entry(n, path)) {
		return false
	}
	for _, child := range n.dir.all() {
		below := child.name
		if path != "" {
			below = path + "/" + child.name
		}
		if !t.walk(child, below, yield) {
			return false
		}
	}
	return true
}

// Tree returns a Tree that shows the entries at the time of each walk.
func (t *EntryMap) Tree() Tree {
	return func(yield func(Entry, error) bool) {
		for e := range t.All() {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// mapNodes holds the nodes in a directory. Nearly all arrive in order;
// the others wait in late until there are many, because each insertion moves all that follow.
// A nil pointer is empty.
type mapNodes struct {
	sorted []*mapNode
	late   *[]*mapNode // also sorted
}

const manyLate = 512

func search(nodes []*mapNode, name string) (int, bool) {
	if n := len(nodes); n > 0 && nodes[n-1].name <= name {
		if nodes[n-1].name == name {
			return n - 1, true
		}
		return n, false
	}
	return slices.BinarySearchFunc(nodes, name, func(n *mapNode, name string) int { return strings.Compare(n.name, name) })
}

func (d *mapNodes) find(name string) *mapNode {
	if d == nil {
		return nil
	}
	if i, ok := search(d.sorted, name); ok {
		return d.sorted[i]
	}
	if d.late != nil {
		if i, ok := search(*d.late, name); ok {
			return (*d.late)[i]
		}
	}
	return nil
}

func (d *mapNodes) add(n *mapNode) {
	if i, _ := search(d.sorted, n.name); i == len(d.sorted) {
		d.sorted = append(d.sorted, n)
		return
	}
	if d.late == nil {
		d.late = new([]*mapNode)
	}
	i, _ := search(*d.late, n.name)
	if *d.late = slices.Insert(*d.late, i, n); len(*d.late) >= manyLate {
		d.sorted, d.late = d.all(), nil
	}
}

// all returns the nodes, sorted. The caller must not change them.
func (d *mapNodes) all() []*mapNode {
	if d == nil {
		return nil
	}
	if d.late == nil {
		return d.sorted
	}
	all := make([]*mapNode, 0, len(d.sorted)+len(*d.late))
	sorted := d.sorted
	for _, n := range *d.late {
		i, _ := search(sorted, n.name)
		all = append(append(all, sorted[:i]...), n)
		sorted = sorted[i:]
	}
	return append(all, sorted...)
}
