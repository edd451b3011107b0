package tarstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/rootfs"
)

const (
	// maxEntries limits the files in an archive, including added parent directories.
	maxEntries = 10_000_000
	// maxDepth limits the depth of a file in an archive: the depth in its object, plus a few directories above that.
	maxDepth = rootfs.MaxDepth + 64
)

// builder builds a tree, entry by entry.
type builder struct {
	tree
	in         *input.Input
	byName     map[childKey]id
	duplicates []duplicate
	trailing   bool   // other data follow the archive
	buf        []byte // for compare
}

// childKey is a name in a directory.
type childKey struct {
	dir  id
	name string
}

// duplicate is a second entry at the path of an earlier node.
// Whether they are equal is known only after hard links are resolved.
type duplicate struct {
	first  id
	second node
}

func newBuilder(in *input.Input) *builder {
	return &builder{
		tree:   tree{nodes: []node{{parent: none, kind: directory}}},
		in:     in,
		byName: make(map[childKey]id),
	}
}

// elements splits the name of an entry into path elements. The archive's root has none.
func elements(name string) ([]string, error) {
	var elems []string
	for elem := range strings.SplitSeq(name, "/") {
		switch {
		case elem == "", elem == ".":
			continue
		case elem == "..":
			return nil, errors.New(`contains ".."`)
		case len(elems) == maxDepth:
			return nil, fmt.Errorf("deeper than %d directories", maxDepth)
		}
		if err := rootfs.CheckName(elem); err != nil {
			return nil, err
		}
		elems = append(elems, elem)
	}
	return elems, nil
}

// add adds an entry of the archive.
func (b *builder) add(name string, n node) error {
	elems, err := elements(name)
	if err != nil {
		return err
	}
	if len(elems) == 0 {
		if n.kind != directory {
			return fmt.Errorf("the archive's root is a %s", n.kind)
		}
		return nil
	}
	dir := root
	for _, elem := range elems[:len(elems)-1] {
		if dir, err = b.enter(dir, elem); err != nil {
			return err
		}
	}
	last := elems[len(elems)-1]
	if had, ok := b.byName[childKey{dir, last}]; ok {
		if b.nodes[had].kind == directory && n.kind == directory {
			return nil
		}
		b.duplicates = append(b.duplicates, duplicate{had, n})
		return nil
	}
	_, err = b.insert(dir, last, n)
	return err
}

// enter returns the directory called name in dir, and adds it if it is missing.
func (b *builder) enter(dir id, name string) (id, error) {
	if n, ok := b.byName[childKey{dir, name}]; ok {
		if k := b.nodes[n].kind; k != directory {
			return none, fmt.Errorf("below %.255q, which is a %s", b.path(n), k)
		}
		return n, nil
	}
	return b.insert(dir, name, node{kind: directory})
}

func (b *builder) insert(dir id, name string, n node) (id, error) {
	if len(b.nodes) > maxEntries {
		return none, fmt.Errorf("more than %d files", maxEntries)
	}
	i := id(len(b.nodes))
	n.parent, n.name = dir, strings.Clone(name) // don't keep the whole path in memory
	b.nodes = append(b.nodes, n)
	b.byName[childKey{dir, n.name}] = i
	return i, nil
}

// find finds the node with the given name in the archive, or none.
func (b *builder) find(name string) (id, error) {
	elems, err := elements(name)
	if err != nil {
		return none, err
	}
	at := root
	for _, elem := range elems {
		next, ok := b.byName[childKey{at, elem}]
		if !ok {
			return none, nil
		}
		at = next
	}
	return at, nil
}

// finish resolves hard links, checks duplicates and returns the tree.
func (b *builder) finish() (*tree, error) {
	b.resolve()
	for _, d := range b.duplicates {
		if err := b.checkSame(d.first, d.second); err != nil {
			return nil, fmt.Errorf("%.255q occurs twice: %w", b.path(d.first), err)
		}
	}
	b.byName = nil
	b.sortChildren()
	return &b.tree, nil
}

// checkSame returns an error if two entries at one path differ.
func (b *builder) checkSame(first id, n node) error {
	linked := n.kind == hardLink
	if linked {
		i, err := b.find(n.target)
		if err != nil || i == none {
			return fmt.Errorf("the second time as a hard link to %.255q, which is not in the tar", n.target)
		}
		n = b.nodes[i]
	}
	m := b.nodes[first]
	switch {
	case m.kind != n.kind:
		return fmt.Errorf("as a %s and as a %s", m.kind, n.kind)
	case m.kind == other:
		return nil
	case m.kind == directory:
		return errors.New("as a directory and as a hard link to a directory")
	case m.kind != file && m.target == n.target, m.kind == file && m.offset == n.offset:
		return nil
	case m.kind != file, m.size != n.size, m.executable != n.executable,
		linked: // refuse these unread: many small entries could link to large files
		return errDifferent
	}
	return b.compare(m, n)
}

var errDifferent = errors.New("with different content")

// compare compares the contents of two files of the same size.
func (b *builder) compare(m, n node) error {
	x, y := content(b.in, m), content(b.in, n)
	if b.buf == nil {
		b.buf = make([]byte, 128<<10)
	}
	half := int64(len(b.buf) / 2)
	for left := m.size; left > 0; {
		step := min(left, half)
		p, q := b.buf[:step], b.buf[half:half+step]
		if _, err := io.ReadFull(x, p); err != nil {
			return err
		}
		if _, err := io.ReadFull(y, q); err != nil {
			return err
		}
		if !bytes.Equal(p, q) {
			return errDifferent
		}
		left -= step
	}
	return nil
}
