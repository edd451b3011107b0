package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
)

// View shows the files of several parts as one file system.
// It follows links from one part to another, as a process in the image would.
//
// A View walks a part's tree when it is first asked for something in it,
// and opens only the files that it is asked to read. Of an unproven part it reads all files,
// and trusts nothing until that walk has ended without an error.
// It is not safe for concurrent use. [View.ListAhead] walks several parts at a time.
type View struct {
	parts    []Part
	at       map[string]int       // where in parts, by root
	above    map[string]bool      // directories above the roots
	listings map[string]*EntryMap // by root; Open is nil, as it does not outlive the walk
	failed   map[string]error     // by root; of parts that cannot be listed
	facts    *Facts
	store    StoreDir

	mu         sync.Mutex // guards listedSum
	listedSum             // of all listings
	mostListed int
}

// ErrOutside reports a path that leads out of the store, where a View sees nothing.
var ErrOutside = errors.New("leads out of the store")

// maxLinks is the number of links that Linux follows in one lookup.
const maxLinks = 40

// NewView returns a view of parts that have roots of their own, all in one store directory. The caller must not change them later.
// It uses and keeps facts about them, if facts is not nil.
func NewView(parts []Part, facts *Facts) *View {
	v := &View{
		parts:    parts,
		at:       make(map[string]int, len(parts)),
		above:    make(map[string]bool),
		listings: make(map[string]*EntryMap),
		failed:   make(map[string]error),
		facts:    facts,

		mostListed: maxListed,
	}
	v.store, _ = StoreDirOf(parts)
	for i := range parts {
		root := parts[i].Root
		v.at[root] = i
		for dir := Parent(root); dir != "" && !v.above[dir]; dir = Parent(dir) {
			v.above[dir] = true
		}
	}
	return v
}

// NewEmptyView returns a view of no parts, in the store directory of files that are elsewhere.
func NewEmptyView(store StoreDir, facts *Facts) *View {
	v := NewView(nil, facts)
	v.store = store
	return v
}

// part returns the part at a root, or the zero value.
func (v *View) part(root string) Part {
	if i, ok := v.at[root]; ok {
		return v.parts[i]
	}
	return Part{}
}

// Parts iterates over the parts of the view, in the order of NewView.
func (v *View) Parts() iter.Seq[Part] { return slices.Values(v.parts) }

// StoreDir returns the store directory of the parts, or that of an empty view.
func (v *View) StoreDir() StoreDir { return v.store }

// Facts returns the facts that the view uses, or nil.
func (v *View) Facts() *Facts { return v.facts }

// Stat returns the entry to which a path leads through all links. Entry.Path is its real path.
// The error wraps fs.ErrNotExist if the path leads nowhere, in circles, or to an object that the view lacks,
// and ErrOutside if it leads out of the store.
func (v *View) Stat(path string) (Entry, error) {
	return v.StatAt(Entry{}, path)
}

// StatAt is Stat for a path relative to a directory that Stat returned.
// The zero Entry is the root of the file system.
func (v *View) StatAt(at Entry, path string) (Entry, error) {
	if at.Path != "" {
		path = at.Path + "/" + path
	}
	todo := strings.TrimPrefix(path, at.Path)
	for links := 0; todo != ""; {
		name, rest, _ := strings.Cut(todo, "/")
		todo = rest
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			at = Dir(Parent(at.Path), 0o755)
			continue
		}
		if at.Path != "" && !at.IsDir() {
			return Entry{}, fmt.Errorf("%q: %q is not a directory: %w", path, at.Path, fs.ErrNotExist)
		}
		next, err := v.lookup(strings.TrimPrefix(at.Path+"/"+name, "/"))
		if err != nil {
			return Entry{}, fmt.Errorf("%q: %w", path, err)
		}
		if !next.IsLink() {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return Entry{}, fmt.Errorf("%q: more than %d links: %w", path, maxLinks, fs.ErrNotExist)
		}
		if strings.HasPrefix(next.Target, "/") {
			at = Entry{}
		}
		todo = next.Target + "/" + todo
	}
	if _, ok := v.rootOf(at.Path); !ok {
		return Entry{}, fmt.Errorf("%q: %w", path, ErrOutside)
	}
	return at, nil
}

// lookup returns the entry at a path whose parents are directories.
func (v *View) lookup(path string) (Entry, error) {
	root, ok := v.rootOf(path)
	switch {
	case ok:
		l, err := v.list(root)
		if err != nil {
			return Entry{}, &brokenError{err}
		}
		if e, ok := l.Get(path); ok {
			return e, nil
		}
		return Entry{}, fs.ErrNotExist
	case v.above[path]:
		return Dir(path, 0o755), nil
	case v.store.Holds(path):
		return Entry{}, fmt.Errorf("%q is not in the closure: %w", path, fs.ErrNotExist)
	}
	return Entry{}, ErrOutside
}

// rootOf returns the root of the part that holds a path.
func (v *View) rootOf(path string) (string, bool) {
	for end := 0; end < len(path); end++ {
		next := strings.IndexByte(path[end:], '/')
		if next < 0 {
			next = len(path) - end
		}
		end += next
		if _, ok := v.at[path[:end]]; ok {
			return path[:end], true
		}
		if !v.above[path[:end]] {
			break
		}
	}
	return "", false
}

// Names iterates over the names in a directory, sorted. The path is one that Stat returned.
func (v *View) Names(dir string) (iter.Seq[string], error) {
	root, ok := v.rootOf(dir)
	if !ok {
		return nil, fmt.Errorf("%q: %w", dir, ErrOutside)
	}
	l, err := v.list(root)
	if err != nil {
		return nil, err
	}
	return l.Names(dir), nil
}

// Entries returns all entries of the part at root, in path order. Their Open is nil.
func (v *View) Entries(root string) ([]Entry, error) {
	if _, ok := v.at[root]; !ok {
		return nil, fmt.Errorf("list %q: no such part", root)
	}
	l, err := v.list(root)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", root, err)
	}
	return slices.AppendSeq(make([]Entry, 0, l.count), l.All()), nil
}
