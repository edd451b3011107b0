package rootfs

import (
	"errors"
	"fmt"
	"io"
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

// Read reads the first limit bytes of regular files. The paths are those that Stat returned.
// It walks each part once, however many of its files it reads.
func (v *View) Read(limit int64, paths ...string) (map[string][]byte, error) {
	wanted := make(map[string]map[string]bool) // root → paths
	for _, p := range paths {
		root, ok := v.rootOf(p)
		if !ok {
			return nil, fmt.Errorf("read %q: %w", p, ErrOutside)
		}
		if wanted[root] == nil {
			wanted[root] = make(map[string]bool)
		}
		wanted[root][p] = true
	}
	contents := make(map[string][]byte, len(paths))
	for root, files := range wanted {
		if err := v.readPart(root, limit, files, contents); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// readThrough reads a file so that the tree can check its hash.
func readThrough(e Entry) (err error) {
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return Drain(r)
}

// brokenError is the error of a part that cannot be read. It hides fs.ErrNotExist,
// so that it does not look like a path that leads nowhere.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Is(target error) bool {
	return target != fs.ErrNotExist && errors.Is(e.err, target)
}
func (e *brokenError) As(target any) bool { return errors.As(e.err, target) }

// maxHead limits the first bytes of a file that are remembered as a fact.
const maxHead = 64

// readPart reads files of one part into contents.
func (v *View) readPart(root string, limit int64, files map[string]bool, contents map[string][]byte) error {
	key := v.part(root).Key
	kind := fmt.Sprintf("head%d", limit)
	heads := make(map[string][]byte)
	if limit <= maxHead {
		heads = decodeHeads(v.facts.Load(kind, key))
	}
	for path := range files {
		if b, ok := heads[path[len(root):]]; ok {
			contents[path] = b
			delete(files, path)
		}
	}
	if len(files) == 0 {
		return nil
	}
	part := v.part(root)
	read := make(map[string][]byte, len(files))
	for e, err := range part.Tree {
		if err != nil {
			return err
		}
		switch {
		case files[e.Path]:
			b, err := readHead(e, limit, part.Unproven)
			if err != nil {
				return fmt.Errorf("read %q: %w", e.Path, err)
			}
			read[e.Path] = b
		case part.Unproven && e.IsRegular():
			if err := readThrough(e); err != nil {
				return fmt.Errorf("read %q: %w", e.Path, err)
			}
		}
	}
	// The key is proven only now, after the whole walk.
	for path := range files {
		b, ok := read[path]
		if !ok {
			return fmt.Errorf("read %q: %w", path, fs.ErrNotExist)
		}
		contents[path], heads[path[len(root):]] = b, b
	}
	if limit <= maxHead {
		v.facts.Keep(kind, key, encodeHeads(heads))
	}
	return nil
}

// readHead reads the first limit bytes of a file. With through, it also reads the rest, so that the tree can check its hash.
func readHead(e Entry, limit int64, through bool) (_ []byte, err error) {
	if !e.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := io.ReadAll(io.LimitReader(r, min(limit, e.Size)))
	if err == nil && int64(len(b)) < min(limit, e.Size) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && through {
		err = Drain(r)
	}
	return b, err
}
