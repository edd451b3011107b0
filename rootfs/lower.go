package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Lower is the files of an image over which parts are laid: what is there already, and where links lead.
// Whoever reads that image fills it, layer after layer, by Put, Remove and Clear.
// It is not safe for concurrent use.
type Lower struct {
	// Key promises the content: equal keys, equal files. An empty key promises nothing.
	Key string
	// Read reads a regular file that is there. The limit is a number of bytes; a larger file is an error.
	Read func(e LowerEntry, limit int64) ([]byte, error)

	root  *lowerNode
	count int
	bytes int64 // of paths
}

// LowerEntry is what an image has at a path.
type LowerEntry struct {
	Entry       // Open is nil
	Other  bool // a device, a named pipe or a socket, whatever Entry.Mode says
	Layer  int  // that it comes from
	Source string
	// Source is the name under which that layer has the content of a regular file.
}

type lowerNode struct {
	LowerEntry
	children map[string]*lowerNode
}

// Limits of an image that others are made from.
const (
	maxLower      = 2 << 20   // files and directories
	maxLowerBytes = 256 << 20 // of their paths, which links make longer than what is read
)

// NewLower is an image without files.
func NewLower(key string) *Lower {
	return &Lower{Key: key, root: &lowerNode{LowerEntry: LowerEntry{Entry: Dir("", 0o755)}}}
}

func (n *lowerNode) isDir() bool { return n.IsDir() && !n.Other }

// Put puts an entry in the place of what is there. A directory keeps what is in it.
// Its path is taken as an unpacker takes it, through the links above it,
// and directories that are missing are made.
func (l *Lower) Put(e LowerEntry) error {
	path, err := l.Place(e.Path)
	if err != nil {
		return err
	}
	if l.bytes += int64(len(path)); l.bytes > maxLowerBytes {
		return fmt.Errorf("paths of more than %d bytes", maxLowerBytes)
	}
	e.Path, e.Open = path, nil
	if path == "" {
		if e.IsDir() {
			l.root.LowerEntry = e
		}
		return nil
	}
	at := l.root
	parent, name := Parent(path), path[strings.LastIndexByte(path, '/')+1:]
	if parent != "" {
		end := -1
		for element := range strings.SplitSeq(parent, "/") {
			end += 1 + len(element)
			next := at.children[element]
			if next == nil || !next.isDir() {
				next = &lowerNode{LowerEntry: LowerEntry{Entry: Dir(path[:end], 0o755), Layer: e.Layer}}
				// It shares the bytes of the path: those of its own would be as many for each directory.
				if err := l.set(at, element, next); err != nil {
					return err
				}
			}
			at = next
		}
	}
	n := &lowerNode{LowerEntry: e}
	if had := at.children[name]; had != nil && had.isDir() && n.isDir() {
		n.children = had.children
	}
	return l.set(at, name, n)
}

func (l *Lower) set(at *lowerNode, name string, n *lowerNode) error {
	if l.count++; l.count > maxLower {
		return fmt.Errorf("more than %d files and directories", maxLower)
	}
	if at.children == nil {
		at.children = make(map[string]*lowerNode)
	}
	at.children[name] = n
	return nil
}

// Remove takes away what is at a path, which may be nothing.
func (l *Lower) Remove(path string) {
	path, err := l.Place(path)
	if err != nil || path == "" {
		return
	}
	if at := l.find(Parent(path)); at != nil {
		delete(at.children, path[strings.LastIndexByte(path, '/')+1:])
	}
}

// Clear takes away all that is in a directory.
func (l *Lower) Clear(dir string) {
	dir, err := l.Place(dir)
	if err != nil {
		return
	}
	if at := l.find(dir); at != nil {
		at.children = nil
	}
}

// find is what is at a path without links, or nil.
func (l *Lower) find(path string) *lowerNode {
	at := l.root
	if path == "" {
		return at
	}
	for name := range strings.SplitSeq(path, "/") {
		if at = at.children[name]; at == nil {
			return nil
		}
	}
	return at
}

// Lookup is what is at a path, which is taken as it is.
func (l *Lower) Lookup(path string) (LowerEntry, bool) {
	if l == nil {
		return LowerEntry{}, false
	}
	if n := l.find(path); n != nil {
		return n.LowerEntry, true
	}
	return LowerEntry{}, false
}

// Stat is what a path ends at when all links are followed. The error wraps fs.ErrNotExist if that is nothing.
func (l *Lower) Stat(path string) (LowerEntry, error) {
	if l == nil {
		return LowerEntry{}, fs.ErrNotExist
	}
	end, err := l.resolve(path, true)
	if err != nil {
		return LowerEntry{}, err
	}
	if n := l.find(end); n != nil {
		return n.LowerEntry, nil
	}
	return LowerEntry{}, fmt.Errorf("%q: %w", "/"+path, fs.ErrNotExist)
}

// Place is where something comes to be that is put at a path: links above it are followed, as a process would,
// and one at its end is not. No path leaves the image.
func (l *Lower) Place(path string) (string, error) {
	if l == nil {
		return path, nil
	}
	return l.resolve(path, false)
}

// Resolve is Place, except that it also follows a link at the end of the path.
func (l *Lower) Resolve(path string) (string, error) {
	return l.resolve(path, true)
}

var errNoDirectory = errors.New("is not a directory")

// resolve follows links, at the end of a path only if follow is set. Behind a place where nothing is, there may be anything.
func (l *Lower) resolve(path string, follow bool) (string, error) {
	place, err := Follow(l.root, path, follow, func(at *lowerNode, name string) (*lowerNode, string, error) {
		if !at.isDir() {
			return nil, "", fmt.Errorf("%q: %q %w: %w", "/"+path, "/"+at.Path, errNoDirectory, fs.ErrNotExist)
		}
		next := at.children[name]
		if next == nil || next.Other || !next.IsLink() {
			return next, "", nil
		}
		return next, next.Target, nil
	})
	switch {
	case errors.Is(err, ErrDeep):
		err = fmt.Errorf("%.255q: %w", "/"+path, err)
	case errors.Is(err, ErrLinks):
		err = fmt.Errorf("%q: %w: %w", "/"+path, err, fs.ErrNotExist)
	}
	return place, err
}

// Names are the names in a directory, sorted.
func (l *Lower) Names(dir string) []string {
	if l == nil {
		return nil
	}
	if n := l.find(dir); n != nil {
		return slices.Sorted(maps.Keys(n.children))
	}
	return nil
}

// Within are all entries at and below a path, in path order. The root of the image is not among them.
func (l *Lower) Within(path string) iter.Seq[LowerEntry] {
	return func(yield func(LowerEntry) bool) {
		if l == nil {
			return
		}
		if n := l.find(path); n != nil {
			n.walk(yield)
		}
	}
}

func (n *lowerNode) walk(yield func(LowerEntry) bool) bool {
	if n.Path != "" && !yield(n.LowerEntry) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		if !n.children[name].walk(yield) {
			return false
		}
	}
	return true
}
