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
	// maxEntries is how many files, also implied directories, an archive may have.
	maxEntries = 10_000_000
	// maxDepth is how deep a file may be in an archive: in an object, and that a few directories down.
	maxDepth = rootfs.MaxDepth + 64
)

// builder builds a tree, entry by entry.
type builder struct {
	tree
	in     *input.Input
	byName map[place]id
	twice  []double
	buf    []byte // for comparing
}

// place is a name in a directory.
type place struct {
	dir  id
	name string
}

// double is what came at a place where there was a node already.
// That it is the same can be told only when all is known.
type double struct {
	first  id
	second node
}

func newBuilder(in *input.Input) *builder {
	return &builder{
		tree:   tree{nodes: []node{{parent: none, kind: directory}}},
		in:     in,
		byName: make(map[place]id),
	}
}

// elements splits a name as an archive has it. None is the archive's root.
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

// add adds a file of the archive.
func (b *builder) add(name string, n node) error {
	elems, err := elements(name)
	if err != nil {
		return err
	}
	if len(elems) == 0 {
		if n.kind != directory {
			return fmt.Errorf("is a %s where the archive's root is", n.kind)
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
	if had, ok := b.byName[place{dir, last}]; ok {
		if b.nodes[had].kind == directory && n.kind == directory {
			return nil
		}
		b.twice = append(b.twice, double{had, n})
		return nil
	}
	_, err = b.insert(dir, last, n)
	return err
}

// enter goes into a directory, which is made if nothing has said yet that it is there.
func (b *builder) enter(dir id, name string) (id, error) {
	if n, ok := b.byName[place{dir, name}]; ok {
		if k := b.nodes[n].kind; k != directory {
			return none, fmt.Errorf("is below %.255q, which is a %s", b.path(n), k)
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
	n.parent, n.name = dir, strings.Clone(name) // not all of the path
	b.nodes = append(b.nodes, n)
	b.byName[place{dir, n.name}] = i
	return i, nil
}

// find finds what an archive's name stands for, or none.
func (b *builder) find(name string) (id, error) {
	elems, err := elements(name)
	if err != nil {
		return none, err
	}
	at := root
	for _, elem := range elems {
		next, ok := b.byName[place{at, elem}]
		if !ok {
			return none, nil
		}
		at = next
	}
	return at, nil
}

// finish makes a tree of what was added.
func (b *builder) finish() (*tree, error) {
	b.resolve()
	for _, d := range b.twice {
		if err := b.checkSame(d.first, d.second); err != nil {
			return nil, fmt.Errorf("%.255q is in it twice: %w", b.path(d.first), err)
		}
	}
	b.byName = nil
	b.arrange()
	return &b.tree, nil
}

// checkSame reports how two files at one place differ.
func (b *builder) checkSame(first id, n node) error {
	linked := n.kind == hardLink
	if linked {
		i, err := b.find(n.target)
		if err != nil || i == none {
			return fmt.Errorf("and then leads to %.255q, which is not in the tar", n.target)
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
		return errors.New("as a directory and as a hard link to one")
	case m.kind != file && m.target == n.target, m.kind == file && m.offset == n.offset:
		return nil
	case m.kind != file, m.size != n.size, m.executable != n.executable,
		linked: // or few entries could make much to compare
		return errDifferent
	}
	return b.compare(m, n)
}

var errDifferent = errors.New("with different content")

// compare compares two contents.
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
