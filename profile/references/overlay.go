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

// Overlay returns a store of the objects that both infos and s have. Their metadata comes from infos, their files from s.
// It checks files against the hashes while the caller reads them.
// If infos lacks a hash, the overlay takes it from s, or reads the object once to find it.
//
// The overlay is a [profile.Lister], and a [profile.Linker] if s is one.
func Overlay(s profile.Store, infos []*profile.Info) profile.Store {
	o := &overlay{Store: s, infos: make(map[profile.Path]*object, len(infos))}
	for _, info := range infos {
		o.infos[info.Path] = &object{given: info}
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
	infos map[profile.Path]*object
	paths []profile.Path
}

// object holds the given metadata of an object. The first call of Info completes it.
type object struct {
	given *profile.Info
	once  sync.Once
	info  *profile.Info
	err   error
}

// Paths implements [profile.Lister]. If the underlying store is a Lister, Paths returns only objects that it has:
// the references may describe a whole machine.
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

// Proven implements [profile.Prover]. The underlying store must guarantee the same hash.
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

// Spooler implements [profile.Spooler].
func (o *overlay) Spooler(p profile.Path) func(context.Context) {
	return profile.SpoolerOf(o.Store, p)
}

// Info implements [profile.Store]. It fails if the underlying store knows another hash.
// If the underlying store lacks the object, Info returns the given metadata together with the error.
func (o *overlay) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	obj, ok := o.infos[p]
	if !ok {
		return nil, &unlistedError{p}
	}
	obj.once.Do(func() { obj.info, obj.err = o.complete(ctx, obj.given) })
	return obj.info, obj.err
}

// unlistedError reports an object that the references lack. It wraps fs.ErrNotExist without its text.
type unlistedError struct{ path profile.Path }

func (e *unlistedError) Error() string   { return fmt.Sprintf("%q is not in the references", e.path) }
func (e *unlistedError) Unwrap() []error { return []error{fs.ErrNotExist, profile.ErrUnlisted} }

// complete adds a missing hash or size, and compares the hash with the store's.
func (o *overlay) complete(ctx context.Context, given *profile.Info) (*profile.Info, error) {
	info := *given
	have, err := o.Store.Info(ctx, info.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &info, err
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
