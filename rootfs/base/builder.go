package base

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// builder collects the base files, in any order. The first entry at a path stays.
type builder struct {
	store    rootfs.StoreDir
	view     *rootfs.View    // or nil
	lower    *rootfs.Lower   // the base image, or nil
	mirrors  []rootfs.Mirror // the mirrors of files
	files    *rootfs.EntryMap
	contents map[string][]byte // of regular files, by path
	notes    []string
	noted    map[string]bool // notes that were added, or shall not be
	err      error           // about the first directory that cannot be made

	linked, mostLinked int   // files and directories that linkTree has visited, and may visit
	linkedBytes        int64 // of their paths
}

func newBuilder(v *rootfs.View, mirrors ...rootfs.Mirror) *builder {
	b := &builder{
		view:     v,
		mirrors:  mirrors,
		files:    rootfs.NewEntryMap("", mirrors...),
		contents: make(map[string][]byte),
		noted:    make(map[string]bool),

		mostLinked: maxLinkTree,
	}
	if v != nil {
		b.store = v.StoreDir()
	}
	return b
}

func (b *builder) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !b.noted[n] {
		b.notes = append(b.notes, n)
		b.noted[n] = true
	}
}

func (b *builder) has(path string) bool {
	_, ok := b.get(path)
	return ok
}

// get returns the entry that was put at a path.
func (b *builder) get(path string) (rootfs.Entry, bool) {
	return b.files.Get(b.place(path))
}

// makeDir makes a directory and those above it, unless they were put before.
func (b *builder) makeDir(path string, mode fs.FileMode) {
	path = b.placeDir(path)
	if e, ok := b.files.Get(path); ok {
		if !e.IsDir() && b.err == nil {
			b.err = fmt.Errorf("directory %q: %w", path, b.inTheWay(e))
		}
		return
	}
	if parent := rootfs.Parent(path); parent != "" {
		b.makeDir(parent, 0o755)
	}
	b.files.Set(b.likeLower(rootfs.Dir(path, mode)))
}

// inTheWay describes an entry of the profile that is at the path of a directory to make.
// The error wraps [rootfs.ErrOutside] if the entry is a link out of the store.
func (b *builder) inTheWay(e rootfs.Entry) error {
	inStore := strings.TrimPrefix(e.Target, "/")
	if b.view == nil || !e.IsLink() {
		return fmt.Errorf("the profile has a file there: %w", fs.ErrExist)
	}
	if _, err := b.view.Stat(inStore); !errors.Is(err, rootfs.ErrOutside) {
		return fmt.Errorf("the profile has a file there: %w", fs.ErrExist)
	}
	for path := inStore; path != ""; path = rootfs.Parent(path) {
		if target, ok := b.linkTarget(path); ok {
			return fmt.Errorf("the profile's %q is a link to %q: %w", "/"+path, target, rootfs.ErrOutside)
		}
	}
	return fmt.Errorf("the profile's %q %w", e.Target, rootfs.ErrOutside)
}

// linkTarget returns the target of a link in a store object, without following it.
func (b *builder) linkTarget(path string) (string, bool) {
	entries, err := b.view.Entries(b.objectRoot(path))
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		if e.Path == path {
			return e.Target, e.IsLink()
		}
	}
	return "", false
}

// objectRoot returns the root of the store object that holds a path.
func (b *builder) objectRoot(path string) string {
	name, _, _ := b.store.Cut(path)
	return b.store.Object(name)
}

// put puts a file or link and the directories above it, unless the path exists, here or in the base image.
func (b *builder) put(e rootfs.Entry) bool {
	return !b.inLower(e.Path) && b.putOver(e)
}

// putOver is like put, but replaces a file or link of the base image.
func (b *builder) putOver(e rootfs.Entry) bool {
	if b.has(e.Path) || !b.makeRoom(&e) {
		return false
	}
	if parent := rootfs.Parent(e.Path); parent != "" {
		b.makeDir(parent, 0o755)
	}
	b.files.Set(e)
	return true
}

// putFile puts a regular file, 0444 as in the store, in the way of put.
func (b *builder) putFile(path string, content []byte) bool {
	return !b.inLower(path) && b.putFileOver(rootfs.File(path, 0o444, 0, nil), content)
}

// putFileOver puts a regular file in the way of putOver.
func (b *builder) putFileOver(e rootfs.Entry, content []byte) bool {
	e.Size = int64(len(content))
	e.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	ok := b.putOver(e)
	if ok {
		b.contents[b.place(e.Path)] = content
	}
	return ok
}

// part returns all files as a part.
func (b *builder) part(refs []string) rootfs.Part {
	p := rootfs.Part{Name: "base", Refs: slices.Clone(refs)}
	slices.Sort(p.Refs)
	p.Refs = slices.Compact(p.Refs)
	sum := rootfs.NewPartSum()
	for e := range b.files.All() {
		sum.Add(e, sha256.Sum256(b.contents[e.Path]))
	}
	p.Key, p.Size = sum.Key(), sum.Size()
	p.Tree = b.files.Tree()
	return p
}
