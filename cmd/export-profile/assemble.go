package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/nixdb"
	"github.com/export-profile/export-profile/profile/sbom"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// The program in one line: source → profile → closure → parts → layers → destination.
//
// find goes from the source to the closure, and assemble on to the parts of a root filesystem.
// image (image.go) divides the parts into layers and writes them to a destination; rootfs (rootfs.go) writes the parts.

// find opens the source, resolves the profiles and finds their closure.
// It reads no files, except those of an image that --from names. The caller closes the store.
func (f *closureFlags) find(ctx context.Context, t terminal, say *speaker) (_ *profile.Closure, _ profile.Store, err error) {
	defer func() { err = f.inChapter(err) }()
	store, err := f.openStore(ctx, t, say)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	roots, err := f.roots(ctx, store, say)
	if err != nil {
		return nil, nil, err
	}
	closure, err := profile.FindClosure(ctx, store, roots...)
	if err != nil {
		return nil, nil, f.hintClosure(err)
	}
	say.debugf("closure: %d store paths, %d bytes", len(closure.Infos), closure.Size())
	return closure, store, nil
}

// assemble finds the closure and turns it into the parts of a root filesystem.
// From a base image for several platforms it takes the platform asked for, or else that of the profiles' programs.
func (f *assemblyFlags) assemble(ctx context.Context, t terminal, say *speaker, asked ispec.Platform) (_ *assembly, err error) {
	defer func() { err = f.recheckCache(ctx, err) }()
	want, err := f.parse()
	if err != nil {
		return nil, err
	}
	a := &assembly{}
	if f.noProfile {
		a.closure, a.store, err = findNothing(ctx)
	} else {
		a.closure, a.store, err = f.find(ctx, t, say)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	parts := a.closure.Parts(ctx)
	a.deep.watch(parts)
	view := rootfs.NewView(parts, f.facts())
	if a.baseImage, err = f.base.read(ctx, say, view, a.closure.Profiles(), asked, &f.cacheFlags); err != nil {
		return nil, err
	}
	if err := f.makeBaseFiles(a, view, want.baseFiles, say); err != nil {
		return nil, err
	}
	if a.metadata = want.metadata; want.sbom != "" {
		if err := addSBOM(a.baseFiles, a.baseImage.lower(), a.closure, want.sbom, a.metadata); err != nil {
			return nil, err
		}
	}
	noteUnmatched(a.metadata, a.closure, say)
	say.notes(a.baseFiles.Notes)
	if parts, err = a.baseImage.without(parts, say); err != nil {
		return nil, err
	}
	if err := f.makeWorkdir(a, view, &want, say); err != nil {
		return nil, err
	}
	if f.noProfile && a.baseImage != nil { // the only store paths are in it
		a.closure.StoreDir = a.baseImage.image.StoreDir
		view = rootfs.NewEmptyView(a.closure.StoreDir, f.facts())
	}
	want.changes.Lower = a.baseImage.lower()
	if a.overlay, err = f.apply(ctx, t, say, a.baseFiles.WithObjects(parts), view, want.changes); err != nil {
		return nil, err
	}
	if f.noProfile {
		if err := a.findArchitecture(); err != nil && asked.OS == "" {
			return nil, err
		}
	}
	a.user, err = f.findUser(a, view, want)
	return a, err
}

// findUser returns the image's user with its numbers. A lone name has those of the image's /etc/passwd.
func (f *assemblyFlags) findUser(a *assembly, view *rootfs.View, want assemblyOptions) (user base.User, err error) {
	if !want.byName {
		return want.user, nil
	}
	var layers []base.Layer
	if a.overlay != nil {
		for _, l := range a.overlay.Layers {
			layers = append(layers, base.Layer{Part: l.Part, Hidden: l.Hidden})
		}
	}
	passwd, err := base.ReadPasswd(view, a.baseImage.lower(), a.baseFiles.Part, layers)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return user, fmt.Errorf("--user %s: read the image's /etc/passwd: %w", f.user, err)
	}
	if user, err = base.FindUser(want.user.Name, passwd); err != nil {
		return user, inChapter("files", usagef(fmt.Sprintf("as in --user %s:1000, which adds the user", want.user.Name), "--user: %v", err))
	}
	return user, nil
}

// assembly is a root filesystem before any of it is written. The parts in overlay are those of the closure
// that the base image lacks, the base files, and the changes on top. They are read while they are written,
// so their store stays open until Close.
type assembly struct {
	store     profile.Store
	deep      deepPaths
	closure   *profile.Closure
	metadata  sbom.Metadata // of --metadata
	baseFiles *base.Files
	overlay   *overlay.Overlay
	baseImage *baseImage // nil without --base
	user      base.User
	arch      string // of the programs of the profiles, or of those that were added to none; or ""
}

func (a *assembly) Close() error {
	var top error
	if a.overlay != nil {
		top = a.overlay.Close()
	}
	return errors.Join(top, a.baseImage.Close(), a.store.Close())
}

// makeBaseFiles makes the files beside the store, and finds the architecture of the profiles' programs.
func (f *assemblyFlags) makeBaseFiles(a *assembly, view *rootfs.View, o base.Options, say *speaker) (err error) {
	o.Profiles = a.closure.Profiles()
	o.Lower = a.baseImage.lower()
	if a.baseFiles, err = base.New(view, o); err != nil {
		if errors.Is(err, rootfs.ErrOutside) {
			err = withHint(err, "the image would not have its files: name a profile whose files are in the store, and add others with --add SRC:DST")
		}
		return err
	}
	if f.nixDB {
		if err := addNixDB(a.baseFiles, a.closure); err != nil {
			return err
		}
	}
	arch, err := a.baseFiles.Architecture()
	a.arch = a.baseImage.architecture(arch)
	return err
}

// findArchitecture finds the architecture of the programs that were added.
func (a *assembly) findArchitecture() error {
	var parts []rootfs.Part
	for _, l := range a.overlay.Layers {
		parts = append(parts, l.Part)
	}
	arch, err := rootfs.ArchitectureOf(parts...)
	a.arch = a.baseImage.architecture(arch)
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
func (f *assemblyFlags) apply(ctx context.Context, t terminal, say *speaker, parts []rootfs.Part, view *rootfs.View, o overlay.Options) (*overlay.Overlay, error) {
	if t.in != nil {
		o.Stdin = t.in
	}
	o.SpoolDir = f.spoolDir()
	o.Decompress = decompressBy
	top, err := overlay.Apply(ctx, parts, view, o)
	if errors.Is(err, overlay.ErrStoreObject) {
		return nil, withHint(err, "use another place, or --allow-store-changes if it has to be there")
	}
	if err != nil {
		return nil, inChapter("files", err)
	}
	say.notes(top.Notes)
	return top, nil
}

// decompressBy returns a reader that decompresses r, or nil if head, which r starts with, is not compressed.
func decompressBy(head []byte, r io.Reader) (io.ReadCloser, error) {
	name := decompress.Sniff(head)
	if name == "" {
		return nil, nil
	}
	return decompress.NewFileReader(name, r, func() {}) // tar itself ignores what follows an archive
}
