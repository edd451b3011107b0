package references

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// Overlay is a store whose objects are those of infos that the store has, and no others.
// Their files are the store's, and are checked against the hashes while they are read.
// Where a hash is not given it is the store's word, or else found by reading the object once.
//
// It is a [profile.Lister], and a [profile.Linker] if the store is one.
func Overlay(s profile.Store, infos []*profile.Info) profile.Store {
	o := &overlay{Store: s, infos: make(map[profile.Path]*known, len(infos))}
	for _, info := range infos {
		o.infos[info.Path] = &known{said: info}
		o.paths = append(o.paths, info.Path)
	}
	if l, ok := s.(profile.Linker); ok {
		return struct {
			*overlay
			profile.Linker
		}{o, l}
	}
	return o
}

type overlay struct {
	profile.Store
	infos map[profile.Path]*known
	paths []profile.Path
}

// known is what is said of an object, and made complete when first asked for.
type known struct {
	said *profile.Info
	once sync.Once
	info *profile.Info
	err  error
}

// Paths implements [profile.Lister]. Where the store is one, it has those that are in both:
// a file of references may speak of a whole machine.
func (o *overlay) Paths(ctx context.Context) ([]profile.Path, error) {
	l, ok := o.Store.(profile.Lister)
	if !ok {
		return o.paths, nil
	}
	present, err := l.Paths(ctx)
	if err != nil {
		return nil, err
	}
	var both []profile.Path
	for _, p := range present {
		if o.infos[p] != nil {
			both = append(both, p)
		}
	}
	return both, nil
}

// Proven implements [profile.Prover]: the store has to be sure of the same hash.
func (o *overlay) Proven(p profile.Path) bool {
	prover, ok := o.Store.(profile.Prover)
	if !ok || !prover.Proven(p) {
		return false
	}
	info, err := o.Info(context.Background(), p)
	if err != nil {
		return false
	}
	have, err := o.Store.Info(context.Background(), p)
	return err == nil && have.NarHash == info.NarHash
}

// Info implements [profile.Store]. It fails where the store knows that the hash is another.
func (o *overlay) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	k, ok := o.infos[p]
	if !ok {
		return nil, fmt.Errorf("%q is not in the references: %w", p, fs.ErrNotExist)
	}
	k.once.Do(func() { k.info, k.err = o.complete(ctx, k.said) })
	return k.info, k.err
}

func (o *overlay) complete(ctx context.Context, said *profile.Info) (*profile.Info, error) {
	info := *said
	have, err := o.Store.Info(ctx, info.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	knows := err == nil && have.NarHash.Known()
	switch {
	case info.NarHash.Known() && knows && have.NarHash != info.NarHash:
		return nil, &nar.HashError{Root: info.Path.Root(), Want: info.NarHash, Got: have.NarHash}
	case info.NarHash.Known() && info.NarSize > 0:
	case knows:
		info.NarHash, info.NarSize = have.NarHash, have.NarSize
	default:
		hash, size, err := nar.Sum(o.Store.Files(ctx, info.Path), info.Path.Root())
		if err != nil {
			return nil, fmt.Errorf("hash %q: %w", info.Path, err)
		}
		if info.NarHash.Known() && info.NarHash != hash {
			return nil, &nar.HashError{Root: info.Path.Root(), Want: info.NarHash, Got: hash}
		}
		info.NarHash, info.NarSize = hash, size
	}
	return &info, nil
}

// Files implements [profile.Store].
func (o *overlay) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	info, err := o.Info(ctx, p)
	if err != nil {
		return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, err) }
	}
	return nar.Verify(o.Store.Files(ctx, p), p.Root(), info.NarHash, info.NarSize)
}
