package rootfs

import (
	"io/fs"
	"iter"
	"slices"
	"strings"
)

// fileTree holds entries by their paths in little memory: of a path only the last element,
// and no target of a link that leads to the same place below another directory.
// So a quarter of a million links are some 25 MB, however deep they are.
type fileTree struct {
	base    string // the path of root, if that is an entry
	root    fileNode
	count   int
	mirrors []mirror
}

// mirror is a directory whose links lead to the same place below another one.
type mirror struct{ dst, src string }

type fileNode struct {
	name   string
	mode   fs.FileMode
	mirror uint32 // the number of that whose link it is, from 1, or noEntry
	size   int64
	target string
	more   *Entry // if it has an owner or content
	dir    *fileNodes
}

// noEntry marks what is above an entry and is none itself.
const noEntry = ^uint32(0)

func newFileTree(base string) *fileTree {
	return &fileTree{base: base, root: fileNode{mirror: noEntry}}
}

// elements are those of a path below the base.
func (t *fileTree) elements(path string) iter.Seq[string] {
	path = strings.TrimPrefix(path[len(t.base):], "/")
	if path == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(path, "/")
}

// find is what is at a path, which may be no entry, or nil.
func (t *fileTree) find(path string) *fileNode {
	n := &t.root
	for name := range t.elements(path) {
		if n = n.dir.find(name); n == nil {
			return nil
		}
	}
	return n
}

func (t *fileTree) get(path string) (Entry, bool) {
	n := t.find(path)
	if n == nil || n.mirror == noEntry {
		return Entry{}, false
	}
	return t.entry(n, path), true
}

func (t *fileTree) entry(n *fileNode, path string) Entry {
	if n.more != nil {
		return *n.more
	}
	e := Entry{Path: path, Mode: n.mode, Size: n.size, Target: n.target}
	if n.mirror > 0 {
		e.Target = t.mirrors[n.mirror-1].target(path)
	}
	return e
}

func (m mirror) target(path string) string { return "/" + m.src + path[len(m.dst):] }

// set puts an entry, in the place of what is at its path but for what is below that.
func (t *fileTree) set(e Entry) {
	n := &t.root
	for name := range t.elements(e.Path) {
		next := n.dir.find(name)
		if next == nil {
			next = &fileNode{name: strings.Clone(name), mirror: noEntry} // not all of the path
			if n.dir == nil {
				n.dir = new(fileNodes)
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
		if Within(m.dst, e.Path) && m.leads(e) {
			n.mirror, n.target = uint32(i+1), ""
			return
		}
	}
}

// leads says whether the target of a link below m.dst is that of a mirror.
func (m mirror) leads(e Entry) bool {
	rest := e.Path[len(m.dst):]
	return len(e.Target) == 1+len(m.src)+len(rest) && e.Target[0] == '/' &&
		e.Target[1:1+len(m.src)] == m.src && e.Target[1+len(m.src):] == rest
}

// remove takes an entry away, and nothing that is below it.
func (t *fileTree) remove(path string) {
	if n := t.find(path); n != nil && n.mirror != noEntry {
		*n = fileNode{name: n.name, mirror: noEntry, dir: n.dir}
		t.count--
	}
}

// names are those in a directory, sorted.
func (t *fileTree) names(dir string) iter.Seq[string] {
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

// all are all entries in path order.
func (t *fileTree) all() iter.Seq[Entry] {
	return func(yield func(Entry) bool) { t.walk(&t.root, t.base, yield) }
}

func (t *fileTree) walk(n *fileNode, path string, yield func(Entry) bool) bool {
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

// tree is a Tree of what is there now and then.
func (t *fileTree) tree() Tree {
	return func(yield func(Entry, error) bool) {
		for e := range t.all() {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// fileNodes are what is in a directory. Nearly all come sorted; the others wait until there are many.
// A nil pointer is an empty one.
type fileNodes struct {
	sorted []*fileNode
	late   *[]*fileNode // sorted, too
}

const manyLate = 512

func search(nodes []*fileNode, name string) (int, bool) {
	if n := len(nodes); n > 0 && nodes[n-1].name <= name {
		if nodes[n-1].name == name {
			return n - 1, true
		}
		return n, false
	}
	return slices.BinarySearchFunc(nodes, name, func(n *fileNode, name string) int { return strings.Compare(n.name, name) })
}

func (d *fileNodes) find(name string) *fileNode {
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

func (d *fileNodes) add(n *fileNode) {
	if i, _ := search(d.sorted, n.name); i == len(d.sorted) {
		d.sorted = append(d.sorted, n)
		return
	}
	if d.late == nil {
		d.late = new([]*fileNode)
	}
	i, _ := search(*d.late, n.name)
	if *d.late = slices.Insert(*d.late, i, n); len(*d.late) >= manyLate {
		d.sorted, d.late = d.all(), nil
	}
}

// all are all of them, sorted. The caller must not change them.
func (d *fileNodes) all() []*fileNode {
	if d == nil {
		return nil
	}
	if d.late == nil {
		return d.sorted
	}
	all := make([]*fileNode, 0, len(d.sorted)+len(*d.late))
	sorted := d.sorted
	for _, n := range *d.late {
		i, _ := search(sorted, n.name)
		all = append(append(all, sorted[:i]...), n)
		sorted = sorted[i:]
	}
	return append(all, sorted...)
}
