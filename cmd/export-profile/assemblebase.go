package main

import (
	"context"
	"errors"
	"io/fs"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// baseImage is the image that another one begins with, and its files.
type baseImage struct {
	image  *ocilayout.Image
	tree   *ocilayout.ImageTree
	opened *sourceOpener
}

// read reads the base image for the platform that was asked for, or else that of the profiles, and its files.
// It is nil if there is none.
func (b *baseFlags) read(ctx context.Context, say *speaker, v *rootfs.View, profiles []string, asked ispec.Platform, c *cacheFlags) (_ *baseImage, err error) {
	if b.name == "" {
		return nil, nil
	}
	at, err := parseSource("--base", baseExample, b.name)
	if err != nil {
		return nil, err
	}
	platform := asked
	if platform.OS == "" {
		if platform, err = platformOfPrograms(v, profiles); err != nil {
			return nil, err
		}
	}
	o := c.opener(say, nil, b.registry)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	stored, err := o.open(ctx, at)
	var image *ocilayout.Image
	if err == nil {
		if at.kind.remote { // other places are as near as the cache
			stored.Open = c.layers(say).ReadThrough(stored.Open)
		}
		image, err = stored.Read(ctx, platform)
	}
	if errors.Is(err, fs.ErrNotExist) && !at.kind.remote && !at.kind.archive {
		return nil, withHint(err, "a base image is in a registry (--base docker://debian:12) or a layout, where for example `skopeo copy docker://debian:12 oci:debian:12` puts it")
	}
	if err != nil {
		return nil, err
	}
	for _, what := range image.Lost {
		say.notef("the base image's %s is left out: an OCI image has none", what)
	}
	reading := say.progress("reading base image", image.Size())
	tree, err := image.Tree(ctx, ocilayout.TreeOptions{Facts: c.facts(), Hash: narHash, Progress: reading.add})
	reading.done()
	if err != nil {
		return nil, err
	}
	say.debugf("base image %s: %s, for %s", image.Digest, count(len(image.Layers), "layer"), image.Config.Architecture)
	return &baseImage{image, tree, o}, nil
}

// platformOfPrograms is that of the profiles' programs; empty if they have none.
func platformOfPrograms(v *rootfs.View, profiles []string) (p ispec.Platform, err error) {
	for _, profile := range profiles {
		arch, err := v.Architecture(profile)
		if err != nil {
			return p, err
		}
		if arch != "" {
			return ispec.Platform{OS: "linux", Architecture: arch}, nil
		}
	}
	return p, nil
}

// lower is the base image's files.
func (b *baseImage) lower() *rootfs.Lower {
	if b == nil {
		return nil
	}
	return b.tree.Lower
}

// without is what the base image does not have already.
func (b *baseImage) without(parts []rootfs.Part, say *speaker) ([]rootfs.Part, error) {
	if b == nil {
		return parts, nil
	}
	rest, err := b.tree.Without(parts)
	if err == nil && len(rest) < len(parts) {
		say.debugf("the base image has %d of %s", len(parts)-len(rest), count(len(parts), "store path"))
	}
	var other *ocilayout.OtherObjectsError
	if errors.As(err, &other) {
		return nil, withHint(err, "make the base image anew from the same store, or leave it out")
	}
	return rest, err
}

// held is what the base image has of the store.
func (b *baseImage) held() []ocilayout.VisibleObject {
	if b == nil {
		return nil
	}
	return b.tree.VisibleObjects()
}

// under makes an image begin with the base image.
func (b *baseImage) under(image *ocilayout.ImageSpec, base *rootfs.BaseFiles) {
	if b == nil {
		image.Config.Env = mergeEnv(base.Env, image.Config.Env)
		return
	}
	image.Base = b.image
	image.Config = b.image.Inherit(image.Config, base.Env, base.DefaultEnv)
	has := b.image.Config.Platform
	if image.Platform.Variant == "" {
		image.Platform.Variant = has.Variant
	}
	image.Platform.OSVersion, image.Platform.OSFeatures = has.OSVersion, has.OSFeatures
}

// architecture is the base image's where the profiles have none.
func (b *baseImage) architecture(arch string) string {
	if b == nil || arch != "" {
		return arch
	}
	return b.image.Config.Architecture
}

func (b *baseImage) layers() int {
	if b == nil {
		return 0
	}
	return len(b.image.Layers)
}

// blobs are the base image's layers.
func (b *baseImage) blobs() (all []ispec.Descriptor) {
	if b != nil {
		for _, l := range b.image.Layers {
			all = append(all, l.Descriptor)
		}
	}
	return all
}

// overPrevious is what an image over the base image can take over of a previous one.
func (b *baseImage) overPrevious(p *ocilayout.PreviousImage) *ocilayout.PreviousImage {
	if b == nil {
		return p
	}
	return p.Without(b.tree.StoreNames())
}

// Close frees what reading the base image takes.
func (b *baseImage) Close() error {
	if b == nil {
		return nil
	}
	return b.opened.Close()
}

func (b *baseImage) digest() string {
	if b == nil {
		return ""
	}
	return b.image.Digest.String()
}
