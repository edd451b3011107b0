package main

import (
	"context"
	"errors"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// find opens the source, resolves the profiles and finds their closure. No file is read, but those of a finished image.
// The caller closes the store.
func (s *selection) find(ctx context.Context, t terminal, say *speaker) (_ *profile.Closure, _ profile.Store, err error) {
	if err := s.cacheFlags.check(); err != nil {
		return nil, nil, err
	}
	image, finished, err := s.image()
	if err != nil {
		return nil, nil, err
	}
	var store profile.Store
	if finished {
		store, err = s.openImage(ctx, t.in, say, image)
	} else {
		store, err = s.open(ctx, t, say, &s.cacheFlags)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	roots, err := s.roots(ctx, store, say)
	if err != nil {
		return nil, nil, err
	}
	closure, err := profile.FindClosure(ctx, store, roots...)
	if s.requireSigs && errors.Is(err, profile.ErrUntrusted) {
		err = withHint(err, "trust the key of whoever signs there with --trusted-public-key, or leave out --require-sigs")
	}
	if err != nil {
		return nil, nil, err
	}
	say.debugf("closure: %d store paths, %d bytes", len(closure.Infos), closure.Size())
	return closure, store, nil
}

// assembled is all that is written, before a byte of it is. The parts are those of top: the closure's, without what
// the base image has, and the base files. They are read when they are written, so that their store is open until Close.
type assembled struct {
	store   profile.Store
	closure *profile.Closure
	base    *rootfs.BaseFiles
	top     *overlay.Overlay
	under   *baseImage // nil without one
	user    rootfs.User
	arch    string // of the profiles' programs, or ""
}

// Close frees what reading the parts takes.
func (a *assembled) Close() error {
	var top error
	if a.top != nil {
		top = a.top.Close()
	}
	return errors.Join(top, a.under.Close(), a.store.Close())
}

// assemble opens the source, resolves the profiles, finds their closure, and makes the base files.
// Of a base image for several platforms, it takes the one that was asked for, or else that of the profiles.
func (a *assembly) assemble(ctx context.Context, t terminal, say *speaker, asked ispec.Platform) (_ *assembled, err error) {
	options, user, err := a.options()
	if err != nil {
		return nil, err
	}
	changes, err := a.overlayFlags.options()
	if err != nil {
		return nil, err
	}
	if a.nixDB && a.under.name != "" {
		return nil, usagef("", "--with-nix-db does not know the store paths of --base")
	}
	if readsStdin(changes) && slices.Contains(a.from, "-") {
		return nil, usagef("", "--add - and --from - both read standard input")
	}
	all := &assembled{user: user}
	if all.closure, all.store, err = a.find(ctx, t, say); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.Close())
		}
	}()
	for _, root := range all.closure.Roots {
		options.Profiles = append(options.Profiles, root.Root())
	}
	parts := all.closure.Parts(ctx)
	view := rootfs.NewView(parts, a.facts())
	if all.under, err = a.under.read(ctx, say, view, options.Profiles, asked, &a.cacheFlags); err != nil {
		return nil, err
	}
	options.Lower = all.under.lower()
	if all.base, err = rootfs.Base(view, options); err != nil {
		return nil, err
	}
	if a.nixDB {
		if err := addNixDB(all.base, all.closure); err != nil {
			return nil, err
		}
	}
	for _, note := range all.base.Notes {
		say.notef("%s", note)
	}
	arch, err := architecture(all.base, options.Profiles)
	if err != nil {
		return nil, err
	}
	all.arch = all.under.architecture(arch)
	changes.Lower = all.under.lower()
	if parts, err = all.under.without(parts, say); err != nil {
		return nil, err
	}
	if all.top, err = a.apply(ctx, t, say, &a.cacheFlags, append(parts, all.base.Part), view, changes); err != nil {
		return nil, err
	}
	return all, nil
}
