package main

import (
	"context"
	"errors"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/nixdb"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// The program in one line: source → profile → closure → parts → layers → destination.
//
// find goes from the source to the closure, and assemble on to the parts of a root filesystem.
// The image command divides the parts into layers and writes them to a destination; rootfs writes the parts.

// find opens the source, resolves the profiles and finds their closure.
// It reads no files, except those of an image that --from names. The caller closes the store.
func (s *selection) find(ctx context.Context, t terminal, say *speaker) (_ *profile.Closure, _ profile.Store, err error) {
	store, err := s.openStore(ctx, t, say)
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
	if err != nil {
		return nil, nil, s.hintUntrusted(err)
	}
	say.debugf("closure: %d store paths, %d bytes", len(closure.Infos), closure.Size())
	return closure, store, nil
}

// assemble finds the closure and turns it into the parts of a root filesystem.
// From a base image for several platforms it takes the one in asked, or else the platform of the profiles.
func (a *assembly) assemble(ctx context.Context, t terminal, say *speaker, asked ispec.Platform) (_ *assembled, err error) {
	want, err := a.parse()
	if err != nil {
		return nil, err
	}
	all := &assembled{user: want.user}
	if all.closure, all.store, err = a.find(ctx, t, say); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.Close())
		}
	}()
	parts := all.closure.Parts(ctx)
	view := rootfs.NewView(parts, a.facts())
	if all.under, err = a.under.read(ctx, say, view, all.closure.Profiles(), asked, &a.cacheFlags); err != nil {
		return nil, err
	}
	if err := a.makeBaseFiles(all, view, want.base, say); err != nil {
		return nil, err
	}
	if parts, err = all.under.without(parts, say); err != nil {
		return nil, err
	}
	want.changes.Lower = all.under.lower()
	if all.top, err = a.apply(ctx, t, say, all.base.WithObjects(parts), view, want.changes); err != nil {
		return nil, err
	}
	return all, nil
}

// assembled holds all that will be written, before a byte is. The parts in top are those of the closure
// that the base image lacks, and the base files. They are read while they are written,
// so their store stays open until Close.
type assembled struct {
	store   profile.Store
	closure *profile.Closure
	base    *base.Files
	top     *overlay.Overlay
	under   *baseImage // nil without --base
	user    base.User
	arch    string // of the profiles' programs, or ""
}

func (a *assembled) Close() error {
	var top error
	if a.top != nil {
		top = a.top.Close()
	}
	return errors.Join(top, a.under.Close(), a.store.Close())
}

// makeBaseFiles makes the files beside the store, and finds the architecture of the profiles' programs.
func (a *assembly) makeBaseFiles(all *assembled, view *rootfs.View, o base.Options, say *speaker) (err error) {
	o.Profiles = all.closure.Profiles()
	o.Lower = all.under.lower()
	if all.base, err = base.New(view, o); err != nil {
		return err
	}
	if a.nixDB {
		if err := addNixDB(all.base, all.closure); err != nil {
			return err
		}
	}
	for _, note := range all.base.Notes {
		say.notef("%s", note)
	}
	arch, err := all.base.Architecture()
	all.arch = all.under.architecture(arch)
	return err
}

// addNixDB adds the database that Nix keeps beside its store.
func addNixDB(files *base.Files, closure *profile.Closure) error {
	database, err := nixdb.Files(closure)
	if err == nil {
		files.Part, err = base.Extend(files.Part, database)
	}
	return err
}

// apply lays the changes of the flags on top of the parts. The caller closes the result after writing it.
func (a *assembly) apply(ctx context.Context, t terminal, say *speaker, parts []rootfs.Part, view *rootfs.View, o overlay.Options) (*overlay.Overlay, error) {
	if t.in != nil {
		o.Stdin = t.in
	}
	o.SpoolDir = a.spoolDir()
	o.Decompress = decompressBy
	top, err := overlay.Apply(ctx, parts, view, o)
	if errors.Is(err, overlay.ErrStoreObject) {
		return nil, withHint(err, "use another place, or --allow-store-changes if it has to be there")
	}
	if err != nil {
		return nil, err
	}
	for _, note := range top.Notes {
		say.notef("%s", note)
	}
	return top, nil
}

// decompressBy returns a reader that decompresses r, or nil if head, which r starts with, is not compressed.
func decompressBy(head []byte, r io.Reader) (io.ReadCloser, error) {
	name := decompress.Sniff(head)
	if name == "" {
		return nil, nil
	}
	return decompress.NewReader(name, r)
}
