package main

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/trust"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// pathSet collects the store paths of a statement.
type pathSet map[profile.Path]attestation.Path

// add adds a store path with what a source knows of it.
func (s pathSet) add(info *profile.Info) { s[info.Path] = pathOf(info) }

// change marks a store path as changed on purpose. Then nothing else is known of it.
func (s pathSet) change(p profile.Path) { s[p] = attestation.Path{Path: p, Changed: true} }

// addStrange adds a name in the store directory that is no store path, for check.
func (s pathSet) addStrange(dir profile.StoreDir, name string) {
	s.change(profile.Path(dir.String() + "/" + name))
}

// check refuses a name in the store directory that is no store path: a statement cannot list it,
// so verify would always refuse the image.
func (s pathSet) check() error {
	for _, p := range slices.Sorted(maps.Keys(s)) {
		if profile.CheckBase(p.Base()) != nil {
			return fmt.Errorf("%q is in the image and no store path, so no statement can list it", p)
		}
	}
	return nil
}

func (s pathSet) sorted() []attestation.Path {
	all := make([]attestation.Path, 0, len(s))
	for _, p := range slices.Sorted(maps.Keys(s)) {
		all = append(all, s[p])
	}
	return all
}

// mostSignatures is as many as a statement may have of a store path.
const mostSignatures = 64

// pathOf returns what a statement says of a store path: all that Nix's signatures cover, with the signatures in one form and order.
func pathOf(info *profile.Info) attestation.Path {
	p := attestation.Path{Path: info.Path, NarHash: info.NarHash, NarSize: info.NarSize, References: slices.Clone(info.References)}
	slices.Sort(p.References)
	p.References = slices.Compact(p.References)
	for _, s := range info.Signatures {
		if padded, ok := trust.ParseSignature(s); ok {
			p.Signatures = append(p.Signatures, padded)
		}
	}
	slices.Sort(p.Signatures)
	p.Signatures = slices.Compact(p.Signatures)
	p.Signatures = p.Signatures[:min(len(p.Signatures), mostSignatures)]
	if _, err := trust.ParseCA(info.CA); err == nil {
		p.CA = info.CA
	}
	return p
}

// visiblePaths lists the store paths in an image: those of the closure and of the base image,
// with the changes of the flags. It reads files only of those whose NAR hash no source knows, and of a base image
// that has other store paths, whose references are unknown.
func (a *assembly) visiblePaths(ctx context.Context, say *speaker, facts *rootfs.Facts) ([]attestation.Path, error) {
	paths := make(pathSet)
	for _, info := range a.closure.Infos {
		known, err := withHash(info, a.store.Files(ctx, info.Path))
		if err != nil {
			return nil, err
		}
		paths.add(known)
	}
	if err := paths.addBase(ctx, say, a.baseImage, facts); err != nil {
		return nil, err
	}
	for _, p := range a.overlay.Parts {
		if p.Changed {
			paths.change(profile.Path("/" + p.Root))
		}
	}
	for _, l := range a.overlay.Layers {
		paths.applyLayer(a.closure.StoreDir, l)
	}
	return paths.sorted(), paths.check()
}

// withHash returns an Info whose NAR hash and size are known.
func withHash(info *profile.Info, files rootfs.Tree) (*profile.Info, error) {
	if info.NarHash.Known() && info.NarSize > 0 {
		return info, nil
	}
	hash, size, err := nar.Sum(files, info.Path.Root())
	if err == nil && info.NarHash.Known() && info.NarHash != hash {
		err = &nar.HashError{Root: info.Path.Root(), Want: info.NarHash, Got: hash}
	}
	if err != nil {
		return nil, fmt.Errorf("hash %q: %w", info.Path, err)
	}
	known := *info
	known.NarHash, known.NarSize = hash, size
	return &known, nil
}

// addBase adds the store paths of the base image. Of those in the closure, which are the same, the source knows more.
func (s pathSet) addBase(ctx context.Context, say *speaker, b *baseImage, facts *rootfs.Facts) error {
	var others []profile.Path
	for _, o := range b.objects() {
		p, err := profile.ParseBase(b.image.StoreDir, o.Name)
		_, known := s[p]
		switch {
		case err != nil:
			s.addStrange(b.image.StoreDir, o.Name)
		case o.Changed:
			s.change(p)
		case !known:
			others = append(others, p)
		}
	}
	if len(others) == 0 {
		return nil
	}
	store, err := scanImageStore(ctx, say, b.image, b.opener, facts)
	if err != nil {
		return fmt.Errorf("base image: %w", err)
	}
	for _, p := range others {
		info, err := store.Info(ctx, p)
		if err != nil {
			return fmt.Errorf("base image: %w", err)
		}
		s.add(info)
	}
	return nil
}

// applyLayer removes what a layer of changes hides, and marks what it changes.
func (s pathSet) applyLayer(dir profile.StoreDir, l overlay.Layer) {
	for _, hidden := range l.Hidden {
		if path.Dir(hidden) == dir.Root() {
			delete(s, profile.Path("/"+hidden))
		}
	}
	for e := range l.Part.Tree {
		if name, _, ok := dir.Cut(e.Path); ok {
			s.change(profile.Path(dir.String() + "/" + name))
		}
	}
}
