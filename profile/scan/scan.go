// Package scan finds the references of store objects as Nix does when it has built them:
// by looking for the hashes of other objects in their bytes.
// It is for a store that is nothing but files.
//
// The rule (Nix, libstore/references.cc):
// an object refers to each candidate whose [profile.Path.Digest] occurs in its NAR,
// which is in a file's content, a name or a link's target;
// what stands before or after the 32 characters makes no difference.
// An object refers to itself if it contains its own.
//
// What Nix has registered can differ, as not all that is registered was found in this way:
//
//   - The references of sources, of .drv files and of what `nix profile` makes were registered by other rules,
//     and some are discarded on purpose. A scan finds what is in the bytes,
//     so it may find more: a log, a manual or a copied source that mentions a path.
//   - What Nix looked for were the inputs of one build. Here it is all candidates.
//   - Digests in compressed files, in other letters or in UTF-16 are found by neither.
package scan

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Overlay is a store whose objects are the candidates and no others.
// What it says of one is found when it is first asked for, by reading the object once.
// Its files are the store's, and are checked against what was found while they are read,
// as the store may change.
//
// It is a [profile.Lister], and a [profile.Linker] if the store is one.
// Two candidates with the same digest are an error.
func Overlay(s profile.Store, candidates []profile.Path) (profile.Store, error) {
	index, err := NewIndex(candidates)
	if err != nil {
		return nil, err
	}
	o := &overlay{Store: s, index: index, objects: make(map[profile.Path]*object, len(candidates))}
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
	index   *Index
	objects map[profile.Path]*object
	paths   []profile.Path
}

// Proven implements [profile.Prover]: the hash of an object was found by reading it,
// and is so still only if the store says by a method Private that nobody else can change it.
func (o *overlay) Proven(profile.Path) bool {
	s, ok := o.Store.(interface{ Private() bool })
	return ok && s.Private()
}

// object is a candidate, and what was found of it.
type object struct {
	turn chan struct{} // holds an element while somebody reads or sets the rest
	info *profile.Info
	err  error
}

// Paths implements [profile.Lister].
func (o *overlay) Paths(context.Context) ([]profile.Path, error) { return o.paths, nil }

// Info implements [profile.Store].
// Several callers wait for one to read; if that one is cancelled, the next begins anew.
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

// read finds out all that can be known of an object in one pass.
func (o *overlay) read(ctx context.Context, p profile.Path) (*profile.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	w := &sink{hash: sha256.New(), finder: o.index.Finder()}
	if err := nar.Write(w, o.Store.Files(ctx, p), p.Root()); err != nil {
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

// readSize is how much is read at once: what stays in the processor's cache for both.
const readSize = 256 << 10

// ReadFrom implements io.ReaderFrom, for io.Copy.
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
