// Package trust decides which store objects to believe in.
//
// An object is what a store says it is (its [profile.Info]) only if somebody vouches for that:
// the store itself, where it is this machine's, or else one of
//
//   - a signature of a trusted key over the path, the NAR hash, its size and the references
//     (Nix, libstore/path-info.cc), see [Fingerprint];
//   - the path itself, if it was made of the object's content: see [ParseCA].
//     That the content is that is checked while it is read, see [ContentError].
//
// Either is enough. Deriver, content address and the place of the NAR are not signed,
// and nothing here rests on them: a content address is believed because the path follows from it.
//
// A signature says nothing about the objects that are referred to: each is checked by itself.
package trust

import (
	"context"
	"errors"
	"fmt"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// SignatureError says why an object is not believed in. It wraps [profile.ErrUntrusted].
type SignatureError struct {
	Path   profile.Path
	Reason string
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("%q is not trusted: %s", e.Path, e.Reason)
}

func (e *SignatureError) Unwrap() error { return profile.ErrUntrusted }

// voucher is the content address that vouches for an object, or nil if a key does.
// The error is a [SignatureError] that says why neither does.
// What the address vouches for must have that content, too.
func voucher(info *profile.Info, keys Keys) (*CA, error) {
	signed := keys.verify(info)
	if signed == nil {
		return nil, nil
	}
	if info.CA == "" {
		return nil, &SignatureError{info.Path, signed.Error()}
	}
	ca, err := ParseCA(info.CA)
	if err == nil {
		err = ca.vouch(info)
	}
	if err != nil {
		return nil, &SignatureError{info.Path, fmt.Sprintf("%v, and %v", signed, err)}
	}
	return ca, nil
}

// Require is a store that has only objects that a key or their path vouches for:
// of others Info is a [SignatureError], beside what is not believed.
// What the path vouches for is checked while it is read:
// a walk in which all contents were read to their ends ends with a [ContentError] if they are others,
// and where a content was not read there is no verdict.
// What a key vouches for is checked as far as the store checks NAR hashes.
//
// A binary cache may know something old: it is asked again before an object is refused.
//
// It is a [profile.Lister] and a [profile.Linker] if the store is.
func Require(s profile.Store, keys Keys) profile.Store {
	r := &required{s, keys}
	lister, lists := s.(profile.Lister)
	linker, links := s.(profile.Linker)
	switch {
	case lists && links:
		return struct {
			*required
			profile.Lister
			profile.Linker
		}{r, lister, linker}
	case lists:
		return struct {
			*required
			profile.Lister
		}{r, lister}
	case links:
		return struct {
			*required
			profile.Linker
		}{r, linker}
	}
	return r
}

// refresher is a store that may remember an older Info of an object, for example from an earlier run.
type refresher interface {
	// Refresh is like Info, but asks the source again.
	Refresh(ctx context.Context, p profile.Path) (*profile.Info, error)
}

type required struct {
	profile.Store
	keys Keys
}

// Info implements [profile.Store].
func (r *required) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	info, _, err := r.check(ctx, p)
	return info, err
}

func (r *required) check(ctx context.Context, p profile.Path) (*profile.Info, *CA, error) {
	info, err := r.Store.Info(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	ca, err := voucher(info, r.keys)
	var refused *SignatureError
	if s, ok := r.Store.(refresher); ok && errors.As(err, &refused) {
		if info, err = s.Refresh(ctx, p); err == nil {
			ca, err = voucher(info, r.keys)
		}
	}
	if err != nil {
		return info, nil, err
	}
	return info, ca, nil
}

// Files implements [profile.Store].
func (r *required) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		info, ca, err := r.check(ctx, p)
		if err != nil {
			yield(rootfs.Entry{}, err)
			return
		}
		t := r.Store.Files(ctx, p)
		if ca != nil {
			t = ca.verify(t, info)
		}
		t(yield)
	}
}

// Proven implements [profile.Prover]: as far as the store does.
// A content address that is not just the NAR hash is only checked while all contents are read.
func (r *required) Proven(p profile.Path) bool {
	prover, ok := r.Store.(profile.Prover)
	if !ok || !prover.Proven(p) {
		return false
	}
	info, ca, err := r.check(context.Background(), p)
	return err == nil && (ca == nil || ca.isNARHash(info))
}
