package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/attestation"
)

// imageStatement is a statement about a finished image or an index.
type imageStatement struct {
	*attestation.Statement
	subject  ispec.Descriptor
	image    *ocilayout.Image // nil for an index
	platform string           // or ""
}

// attestImages states what is in an image, or in each image of an index and in the index itself, which comes last.
// What store, if it is not nil, knows of the same store paths counts, too.
func attestImages(ctx context.Context, say *speaker, found *ocilayout.ImageSource, store profile.Store) ([]*imageStatement, error) {
	parts, err := found.Parts(ctx)
	if err != nil {
		return nil, err
	}
	if parts == nil {
		one, err := attestImage(ctx, say, found, store)
		return []*imageStatement{one}, err
	}
	var all []*imageStatement
	index := indexStatement(found.Descriptor, parts)
	for _, d := range parts {
		if ocilayout.IsAttestation(d) {
			continue
		}
		if t := d.MediaType; t == ispec.MediaTypeImageIndex || t == ocilayout.DockerListType {
			return nil, fmt.Errorf("index %s has the index %s in it, and only an index of images can be attested", found.Descriptor.Digest, d.Digest)
		}
		one, err := attestImage(ctx, say, found.Part(d), store)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", d.Digest, err)
		}
		all = append(all, one)
	}
	return append(all, &imageStatement{Statement: index, subject: found.Descriptor}), nil
}

// indexStatement states which images an index has.
func indexStatement(index ispec.Descriptor, parts []ispec.Descriptor) *attestation.Statement {
	s := &attestation.Statement{Kind: attestation.OfIndex, Name: "index", Subject: index.Digest.String()}
	for _, d := range parts {
		if ocilayout.IsAttestation(d) {
			continue
		}
		part := attestation.Part{Digest: d.Digest.String(), MediaType: d.MediaType}
		if d.Platform != nil {
			part.Platform = platformName(*d.Platform)
		}
		s.Parts = append(s.Parts, part)
	}
	return s
}

// attestImage states what is in an image, from its layers.
func attestImage(ctx context.Context, say *speaker, found *ocilayout.ImageSource, store profile.Store) (*imageStatement, error) {
	image, err := found.Read(ctx, ispec.Platform{})
	if err != nil {
		return nil, err
	}
	paths, name, err := imagePaths(ctx, say, image)
	if err != nil {
		return nil, err
	}
	if store != nil {
		if err := paths.learn(ctx, say, store); err != nil {
			return nil, err
		}
	}
	return &imageStatement{
		Statement: &attestation.Statement{Kind: attestation.OfContents, Name: name, Subject: image.Digest.String(), Paths: paths.sorted()},
		subject:   found.Descriptor, image: image, platform: platformName(image.Config.Platform),
	}, nil
}

// imagePaths lists the store paths in a finished image, from its layers alone. It also returns the name of the first store path
// that no other one refers to, for people. Only an image of export-profile may have no store paths.
func imagePaths(ctx context.Context, say *speaker, image *ocilayout.Image) (paths pathSet, name string, err error) {
	store, err := scanImageStore(ctx, say, image, nil, nil) // no facts: a key signs only what is in the layers
	if err != nil {
		return nil, "", err
	}
	paths = make(pathSet)
	for _, p := range store.paths {
		info, err := store.Info(ctx, p)
		switch {
		case err != nil:
			return nil, "", err
		case store.objects[p].Changed:
			paths.change(p)
		default:
			paths.add(info)
		}
	}
	for _, p := range store.scattered {
		paths.change(p)
	}
	for _, name := range store.strange {
		paths.addStrange(image.StoreDir, name)
	}
	if _, foreign := image.VisibleObjects(); len(paths) == 0 && foreign == 0 {
		return paths, filesName, nil // the history says that it was made without a profile
	}
	roots, err := store.roots(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := paths.check(); err != nil {
		return nil, "", fmt.Errorf("image %s: %w", image.Digest, err)
	}
	return paths, roots[0].Name(), nil
}

// learn adds what a store knows of the paths, if it has the same contents: references, signatures and content addresses.
func (s pathSet) learn(ctx context.Context, say *speaker, store profile.Store) error {
	var queue []profile.Path
	for _, p := range s.sorted() {
		if !p.Changed {
			queue = append(queue, p.Path)
		}
	}
	infos, errs := make([]*profile.Info, len(queue)), make([]error, len(queue))
	next := make(chan int)
	var workers sync.WaitGroup
	const parallel = 32 // hides the latency of a server
	for range min(parallel, len(queue)) {
		workers.Go(func() {
			for i := range next {
				infos[i], errs[i] = store.Info(ctx, queue[i])
			}
		})
	}
	for i := range queue {
		next <- i
	}
	close(next)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	lacked, other := 0, 0
	for i, p := range queue {
		info, had := infos[i], s[p]
		switch {
		case errors.Is(errs[i], fs.ErrNotExist):
			lacked++
		case errs[i] != nil:
			return errs[i]
		case info.NarHash != had.NarHash:
			other++
			say.debugf("%q: the source has the NAR hash %v, and the image %v", p, info.NarHash, had.NarHash)
		default:
			known := *info
			known.NarSize = had.NarSize
			s[p] = pathOf(&known)
		}
	}
	if lacked+other > 0 {
		say.notef("of %s, the source lacks %d, and has %d with other contents: their references come from their files, and they have no signatures",
			count(len(queue), "store path"), lacked, other)
	}
	return nil
}
