// Package scan finds the references of store objects like Nix does after a build:
// it looks for the digests of other objects in their bytes. It is for stores that consist only of files.
//
// The rule (Nix, libstore/references.cc):
// an object refers to each candidate whose [profile.Path.Digest] occurs in its NAR,
// that is, in the content of a file, in a name or in the target of a link.
// The characters around the digest do not matter.
// An object refers to itself if it contains its own digest.
//
// An object that places others in another store directory only, such as /gnu/store, is an error.
//
// The result can differ from what Nix has registered:
//
//   - Nix registers the references of sources, of .drv files and of the products of `nix profile` by other rules,
//     and drops some references on purpose. A scan finds what the bytes contain,
//     so it may find more: a log, a manual or a copied source that mentions a path.
//   - Nix looks for the inputs of one build, a scan for all candidates.
//   - Neither finds digests in compressed files, in upper case or in UTF-16.
package scan

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Overlay returns a store whose objects are exactly the candidates, with the files of s.
// It reads an object's files once to find its metadata, when that is first needed.
// The objects may also refer to those that others returns, if it is not nil: the other stores of a chain have them.
// Overlay calls others once, before it reads the first object.
// Since s may change, it checks the files against that metadata whenever the caller reads them.
//
// The overlay is a [profile.Lister], and a [profile.Linker] if s is one.
// Overlay fails if two candidates have the same digest.
func Overlay(s profile.Store, candidates []profile.Path, others func(context.Context) ([]profile.Path, error)) (profile.Store, error) {
	index, err := NewIndex(candidates)
	if err != nil {
		return nil, err
	}
	o := &overlay{Store: s, index: index, others: others, objects: make(map[profile.Path]*object, len(candidates))}
	for _, p := range candidates {
		if o.objects[p] == nil {
			o.objects[p] = &object{turn: make(chan struct{}, 1)}
			o.paths = append(o.paths, p)
		}
	}
	slices.Sort(o.paths)
	if l, ok := s.(profile.Linker); ok {
		return struct {
			*overlay
			profile.Linker
		}{o, l}, nil
	}
	return o, nil
}

type overlay struct {
	profile.Store
	objects map[profile.Path]*object
	paths   []profile.Path

	mu     sync.Mutex
	index  *Index // of paths, and also of others once that is nil
	others func(context.Context) ([]profile.Path, error)
}

// whole returns the index of all objects that the store's may refer to.
func (o *overlay) whole(ctx context.Context) (*Index, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.others == nil {
		return o.index, nil
	}
	others, err := o.others(ctx)
	if err != nil {
		return nil, err
	}
	index, err := o.index.with(others)
	if err != nil {
		return nil, err
	}
	o.index, o.others = index, nil
	return index, nil
}

// privateStore is a store that tells whether it alone can change its files.
type privateStore interface{ Private() bool }

// Proven implements [profile.Prover]. The overlay has hashed the files itself,
// so the hash still holds if no other process can change them.
func (o *overlay) Proven(profile.Path) bool {
	s, ok := o.Store.(privateStore)
	return ok && s.Private()
}

// object holds the metadata of a candidate, once it is known.
type object struct {
	turn chan struct{} // a lock for the rest, of capacity 1
	info *profile.Info
	err  error
}

// Paths implements [profile.Lister].
func (o *overlay) Paths(context.Context) ([]profile.Path, error) { return o.paths, nil }

// Info implements [profile.Store]. One caller reads the object while others wait.
// If that caller is cancelled, the next one starts again.
func (o *overlay) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	obj, ok := o.objects[p]
	if !ok {
		return nil, fmt.Errorf("store path %q is not in the store: %w", p, fs.ErrNotExist)
	}
	select {
	case obj.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-obj.turn }()
	if obj.info == nil && obj.err == nil {
		info, err := o.read(ctx, p)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		obj.info, obj.err = info, err
	}
	return obj.info, obj.err
}

// read finds the hash, size and references of an object in one pass.
func (o *overlay) read(ctx context.Context, p profile.Path) (*profile.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	index, err := o.whole(ctx)
	if err != nil {
		return nil, fmt.Errorf("scan %q: %w", p, err)
	}
	w := &sink{hash: sha256.New(), finder: index.Finder()}
	if err := nar.Write(w, o.Store.Files(ctx, p), p.Root()); err != nil {
		return nil, fmt.Errorf("scan %q: %w", p, err)
	}
	if err := w.finder.place.check(); err != nil {
		return nil, fmt.Errorf("scan %q: %w", p, err)
	}
	return &profile.Info{
		Path:       p,
		NarHash:    profile.Hash(w.hash.Sum(nil)),
		NarSize:    w.size,
		References: w.finder.Found(),
	}, nil
}

// Files implements [profile.Store].
func (o *overlay) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		info, err := o.Info(ctx, p)
		if err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		nar.Verify(o.Store.Files(ctx, p), p.Root(), info.NarHash, info.NarSize)(yield)
	}
}

// sink hashes and scans a NAR.
type sink struct {
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
	finder *Finder
	size   int64
	buf    []byte
}

func (s *sink) Write(p []byte) (int, error) {
	_, _ = s.hash.Write(p)
	_, _ = s.finder.Write(p)
	s.size += int64(len(p))
	return len(p), nil
}

// readSize fits the processor's cache, as both the hash and the finder read the buffer.
const readSize = 256 << 10

// ReadFrom implements io.ReaderFrom, so that io.Copy uses a larger buffer.
func (s *sink) ReadFrom(r io.Reader) (n int64, err error) {
	if s.buf == nil {
		s.buf = make([]byte, readSize)
	}
	for {
		m, err := r.Read(s.buf)
		_, _ = s.Write(s.buf[:m])
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
