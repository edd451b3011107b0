package tarstore

import (
	"cmp"
	"slices"
	"strings"
)

// id is the index of a node in its tree.
type id = int32

const (
	root  id = 0  // of the archive
	none  id = -1 // no node
	outer id = -2 // the root, if the archive has only /nix; outer-1 is /opt of /opt/nix, and so on
)

type kind uint8

const (
	directory kind = iota
	file
	link       // symbolic
	hardLink   // until it is resolved
	other      // a device, a named pipe, or an unknown type
	brokenLink // a hard link without a valid target
)

func (k kind) String() string {
	return [...]string{"directory", "regular file", "symbolic link", "hard link", "device or other special file", "broken hard link"}[k]
}

// node is a file of the archive. Its size in memory determines maxEntries.
type node struct {
	parent     id
	from, to   id // range of its children in tree.order, once the tree is finished
	kind       kind
	executable bool
	name       string
	target     string // of a symbolic or hard link; for brokenLink the reason
	offset     int64  // of a regular file's content in the input
	size       int64
}

// tree holds all files of an archive. It does not change once it is finished.
type tree struct {
	nodes []node
	order []id // all nodes but the root, by parent and name
}

// sortChildren fills t.order, so that children can be found.
func (t *tree) sortChildren() {
	t.order = make([]id, len(t.nodes)-1)
	for i := range t.order {
		t.order[i] = id(i + 1)
	}
	slices.SortFunc(t.order, func(a, b id) int {
		x, y := &t.nodes[a], &t.nodes[b]
		return cmp.Or(cmp.Compare(x.parent, y.parent), cmp.Compare(x.name, y.name))
	})
	for i, n := range t.order {
		parent := &t.nodes[t.nodes[n].parent]
		if parent.to == 0 {
			parent.from = id(i)
		}
		parent.to = id(i + 1)
	}
}

// children returns the files in a directory, sorted by the bytes of their names.
func (t *tree) children(dir id) []id { return t.order[t.nodes[dir].from:t.nodes[dir].to] }

// child returns the file called name in a directory, or none.
func (t *tree) child(dir id, name string) id {
	children := t.children(dir)
	i, ok := slices.BinarySearchFunc(children, name, func(n id, name string) int { return cmp.Compare(t.nodes[n].name, name) })
	if !ok {
		return none
	}
	return children[i]
}

// descend follows a path down from a directory, but no links. It returns none if a file is missing.
func (t *tree) descend(from id, path string) id {
	if path == "" {
		return from
	}
	for name := range strings.SplitSeq(path, "/") {
		if from = t.child(from, name); from == none {
			break
		}
	}
	return from
}

// path returns the path of a node in the archive, for messages.
func (t *tree) path(n id) string {
	var names []string
	for ; n != root; n = t.nodes[n].parent {
		names = append(names, t.nodes[n].name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}
