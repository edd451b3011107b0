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

// Lower holds the files of an image over which parts are laid.
// The reader of that image fills it, layer by layer, with Put, Remove and Clear.
// It is not safe for concurrent use.
//
// A nil *Lower has no files: Lookup, Stat, Place, Names and Within accept it.
type Lower struct {
	// Key promises the content: equal keys, equal files. An empty key promises nothing.
	Key string
	// Read reads a regular file of the image. A file of more than limit bytes is an error.
	Read func(e LowerEntry, limit int64) ([]byte, error)

	root  *lowerNode
	count int   // files and directories put so far
	bytes int64 // of their paths
}

// LowerEntry is an entry of the image.
type LowerEntry struct {
	Entry      // Open is nil
	Other bool // a device, a named pipe or a socket, whatever Entry.Mode says
	Layer int  // the layer that it comes from
	// Source is the name under which that layer has the content of a regular file.
	Source string
}

type lowerNode struct {
	LowerEntry
	children map[string]*lowerNode
}

// Limits of a Lower.
const (
	maxLower      = 2 << 20   // files and directories
	maxLowerBytes = 256 << 20 // bytes of their paths; through links, a short path in a layer can become a long one
)

// NewLower returns an image without files.
func NewLower(key string) *Lower {
	return &Lower{Key: key, root: &lowerNode{LowerEntry: LowerEntry{Entry: Dir("", 0o755)}}}
}

func (n *lowerNode) isDir() bool { return n.IsDir() && !n.Other }

// Put puts an entry in place of the one at its path. A directory that replaces one keeps its contents.
// Like an unpacker, Put follows links above the path and makes missing directories.
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
				// Its path shares the bytes of path. A copy for each directory would take as many again.
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

// Remove removes the entry at a path and all below it. It may not exist.
func (l *Lower) Remove(path string) {
	path, err := l.Place(path)
	if err != nil || path == "" {
		return
	}
	if at := l.find(Parent(path)); at != nil {
		delete(at.children, path[strings.LastIndexByte(path, '/')+1:])
	}
}

// Clear removes the contents of a directory.
func (l *Lower) Clear(dir string) {
	dir, err := l.Place(dir)
	if err != nil {
		return
	}
	if at := l.find(dir); at != nil {
		at.children = nil
	}
}

// find returns the node at a path, without following links, or nil.
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

// Lookup returns the entry at a path, without following links.
func (l *Lower) Lookup(path string) (LowerEntry, bool) {
	if l == nil {
		return LowerEntry{}, false
	}
	if n := l.find(path); n != nil {
		return n.LowerEntry, true
	}
	return LowerEntry{}, false
}

// Stat returns the entry to which a path leads through all links. The error wraps fs.ErrNotExist if it leads nowhere.
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

// Place returns the path at which an entry lands that is put at a path.
// It follows links above the entry, but not one at the end of the path. The result never leaves the image.
func (l *Lower) Place(path string) (string, error) {
	if l == nil {
		return path, nil
	}
	return l.resolve(path, false)
}

// Resolve is like Place, but also follows a link at the end of the path.
func (l *Lower) Resolve(path string) (string, error) {
	return l.resolve(path, true)
}

var errNoDirectory = errors.New("is not a directory")

// resolve follows links, at the end of a path only if follow is set. It keeps names below a path that does not exist.
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

// Names returns the names in a directory, sorted.
func (l *Lower) Names(dir string) []string {
	if l == nil {
		return nil
	}
	if n := l.find(dir); n != nil {
		return slices.Sorted(maps.Keys(n.children))
	}
	return nil
}

// Within iterates over the entries at and below a path, in path order, except the root of the image.
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
