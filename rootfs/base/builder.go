package base

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// builder collects the files of a part that are made up, in any order.
// What is put first stays; see [Base] for what that means.
type builder struct {
	view     *rootfs.View
	lower    *rootfs.Lower   // the image below, or nil
	mirrors  []rootfs.Mirror // of files
	files    *rootfs.EntryMap
	contents map[string][]byte
	notes    []string
	noted    map[string]bool
	err      error // the first entry that could not be put

	linked, mostLinked int // what trees of links have visited, and may visit
	linkedBytes        int64
}

func newBuilder(v *rootfs.View, mirrors ...rootfs.Mirror) *builder {
	return &builder{
		view:     v,
		mirrors:  mirrors,
		files:    rootfs.NewEntryMap("", mirrors...),
		contents: make(map[string][]byte),
		noted:    make(map[string]bool),

		mostLinked: maxLinkTree,
	}
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

// get is what was put at a path.
func (b *builder) get(path string) (rootfs.Entry, bool) {
	return b.files.Get(b.place(path))
}

// dir makes a directory and those above it, unless they are there.
func (b *builder) dir(path string, mode fs.FileMode) {
	path = b.placeDir(path)
	if e, ok := b.files.Get(path); ok {
		if !e.IsDir() && b.err == nil {
			b.err = fmt.Errorf("directory %q: the profile has a file there: %w", path, fs.ErrExist)
		}
		return
	}
	if parent := rootfs.Parent(path); parent != "" {
		b.dir(parent, 0o755)
	}
	b.files.Set(b.dirBelow(rootfs.Dir(path, mode)))
}

// put makes a file or link and the directories above it, unless something is there, also in the image below.
func (b *builder) put(e rootfs.Entry) bool {
	return !b.below(e.Path) && b.over(e)
}

// over makes a file or link and the directories above it, unless something is there.
// It takes the place of a file or link of the image below.
func (b *builder) over(e rootfs.Entry) bool {
	if b.has(e.Path) || !b.makeRoom(&e) {
		return false
	}
	if parent := rootfs.Parent(e.Path); parent != "" {
		b.dir(parent, 0o755)
	}
	b.files.Set(e)
	return true
}

// file makes a regular file, 0444 as in the store, unless something is there.
func (b *builder) file(path string, content []byte) bool {
	return !b.below(path) && b.fileOver(rootfs.File(path, 0o444, 0, nil), content)
}

// fileOver makes a regular file of an entry, as over does.
func (b *builder) fileOver(e rootfs.Entry, content []byte) bool {
	e.Size = int64(len(content))
	e.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	ok := b.over(e)
	if ok {
		b.contents[b.place(e.Path)] = content
	}
	return ok
}

// part is all that was made.
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
