// Package trust decides which store objects are trusted.
//
// A store's [profile.Info] is true only if something vouches for it:
// the store itself if it is this machine's own, or else one of these:
//
//   - a signature by a trusted key over the path, the NAR hash, the NAR size and the references
//     (Nix, libstore/path-info.cc), see [Fingerprint];
//   - a signature of Guix by a trusted key over the bytes from which the source has read them, see [profile.GuixSignature]
//     and package [guix];
//   - the path itself, if it was made from a hash of the content, see [ParseCA].
//     The content is then checked against that hash while it is read, see [ContentError].
//
// One of them is enough. Signatures do not cover the deriver, the content address and the location of the NAR,
// so nothing relies on them: a content address counts only because the path follows from it.
//
// A signature does not cover the objects that an object refers to. Each object is checked by itself.
package trust

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// SignatureError says why an object is not trusted. It wraps [profile.ErrUntrusted].
type SignatureError struct {
	Path   profile.Path
	Reason string
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("%q is not trusted: %s", e.Path, e.Reason)
}

func (e *SignatureError) Unwrap() error { return profile.ErrUntrusted }

// voucher returns nil if a key vouches for an object, or else the content address that does.
// In the second case the content has yet to be checked.
// If neither vouches for the object, the error is a [SignatureError].
func voucher(info *profile.Info, keys Keys) (*CA, error) {
	return voucherWith(info, keys.verify(info))
}

// voucherWith is voucher with the result of Keys.verify.
func voucherWith(info *profile.Info, signed error) (*CA, error) {
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

// Require returns a store with the objects of s for which a key or their path vouches.
// For other objects, Info returns a [SignatureError] together with the untrusted Info.
//
// If the path vouches for an object, the store checks its files:
// a walk that reads all files in full ends with a [ContentError] if they do not match. A walk that reads less checks nothing.
// If a key vouches for an object, the files are checked only as far as s checks NAR hashes.
//
// If s has a method Refresh, Require's store calls it before it refuses an object: s may remember an Info without new signatures.
//
// The returned store is a [profile.Lister] and a [profile.Linker] if s is.
func Require(s profile.Store, keys Keys) profile.Store {
	r := &trustedStore{Store: s, keys: keys}
	lister, lists := s.(profile.Lister)
	linker, links := s.(profile.Linker)
	switch {
	case lists && links:
		return struct {
			*trustedStore
			profile.Lister
			profile.Linker
		}{r, lister, linker}
	case lists:
		return struct {
			*trustedStore
			profile.Lister
		}{r, lister}
	case links:
		return struct {
			*trustedStore
			profile.Linker
		}{r, linker}
	}
	return r
}

// refresher is a store that may remember an Info from an earlier run.
type refresher interface {
	// Refresh is like Info, but asks the source again.
	Refresh(ctx context.Context, p profile.Path) (*profile.Info, error)
}

// trustedStore is the store that Require returns.
type trustedStore struct {
	profile.Store
	keys Keys

	verified sync.Map // results of verify by *profile.GuixSignature, which takes long
}

// verify is Keys.verify. It verifies a signature of Guix once.
func (r *trustedStore) verify(info *profile.Info) error {
	if info.Guix == nil {
		return r.keys.verify(info)
	}
	if v, ok := r.verified.Load(info.Guix); ok {
		err, _ := v.(error) // nil is no error
		return err
	}
	err := r.keys.verify(info)
	r.verified.Store(info.Guix, err)
	return err
}

// Info implements [profile.Store].
func (r *trustedStore) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	info, _, err := r.check(ctx, p)
	return info, err
}

// check returns the store's Info and the result of voucher.
func (r *trustedStore) check(ctx context.Context, p profile.Path) (*profile.Info, *CA, error) {
	info, err := r.Store.Info(ctx, p)
	if err != nil {
		return info, nil, err
	}
	ca, err := voucherWith(info, r.verify(info))
	var refused *SignatureError
	if s, ok := r.Store.(refresher); ok && errors.As(err, &refused) {
		if info, err = s.Refresh(ctx, p); err == nil {
			ca, err = voucherWith(info, r.verify(info))
		}
	}
	if err != nil {
		return info, nil, err
	}
	return info, ca, nil
}

// Files implements [profile.Store].
func (r *trustedStore) Files(ctx context.Context, p profile.Path) rootfs.Tree {
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

// Spooler implements [profile.Spooler].
func (r *trustedStore) Spooler(p profile.Path) func(context.Context) {
	return profile.SpoolerOf(r.Store, p)
}

// Proven implements [profile.Prover]. It needs the guarantee of the underlying store.
// If a content address vouches for the object, it must be the NAR hash: others are checked only by a walk that reads all files.
func (r *trustedStore) Proven(p profile.Path) bool {
	prover, ok := r.Store.(profile.Prover)
	if !ok || !prover.Proven(p) {
		return false
	}
	info, ca, err := r.check(context.Background(), p)
	return err == nil && (ca == nil || ca.isNARHash(info))
}
