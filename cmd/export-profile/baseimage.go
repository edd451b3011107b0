package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
)

// baseFlags name the base image.
type baseFlags struct {
	name     string
	registry *registryFlags
}

func (b *baseFlags) flags(fs *pflag.FlagSet, r *registryFlags) {
	fs.StringVar(&b.name, "base", "", "put everything on top of `IMAGE` (oci:DIR[:TAG], docker://NAME[:TAG|@DIGEST] or oci-archive:FILE), and keep its layers and config")
	b.registry = r
}

const baseExample = "as in --base docker://debian:12"

// baseImage is the image of --base and its files. A nil baseImage stands for no --base.
type baseImage struct {
	image  *ocilayout.Image
	tree   *ocilayout.ImageTree
	opener *imageOpener
}

// read reads the base image and lists its files, for the platform asked for or else that of the profiles' programs.
// It returns nil without --base.
func (b *baseFlags) read(ctx context.Context, say *speaker, v *rootfs.View, profiles []string, asked ispec.Platform, c *cacheFlags) (_ *baseImage, err error) {
	if b.name == "" {
		return nil, nil
	}
	defer func() { err = inChapter("base-images", err) }()
	n, err := parseImageName("--base", baseExample, b.name)
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
	source, err := o.open(ctx, n)
	var image *ocilayout.Image
	if err == nil {
		if n.transport.remote { // layouts and archives are as near as the cache
			source.Open = c.layers(say).ReadThrough(source.Open)
		}
		image, err = source.Read(ctx, platform)
	}
	if errors.Is(err, fs.ErrNotExist) && !n.transport.remote && !n.transport.archive {
		return nil, withHint(err, "name a base image in a registry, as in --base docker://debian:12, or copy it into a layout: skopeo copy docker://debian:12 oci:debian:12")
	}
	if err != nil {
		return nil, err
	}
	for _, what := range image.Lost {
		say.notef("the base image's %s", what)
	}
	image.AssumeStoreDir(v.StoreDir())
	if dir := v.StoreDir(); image.StoreDir != dir && len(profiles) > 0 {
		return nil, fmt.Errorf("the base image %q has the store directory %s, and the profile %s: an image has one", b.name, image.StoreDir, dir)
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

// platformOfPrograms returns the platform of the profiles' programs, or an empty one if there are none.
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

// lower returns the base image's files.
func (b *baseImage) lower() *rootfs.Lower {
	if b == nil {
		return nil
	}
	return b.tree.Lower
}

// without returns the parts that the base image lacks.
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
		return nil, inChapter("base-images", withHint(err, "rebuild the base image from the same store, or leave out --base"))
	}
	return rest, err
}

// objects lists the store objects in the base image.
func (b *baseImage) objects() []ocilayout.VisibleObject {
	if b == nil {
		return nil
	}
	return b.tree.VisibleObjects()
}

// putUnder puts the base image under image, which inherits config and platform.
func (b *baseImage) putUnder(image *ocilayout.ImageSpec, base *base.Files) {
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

// healthcheck returns the base image's health check, or nil.
func (b *baseImage) healthcheck() *ocilayout.Healthcheck {
	if b == nil {
		return nil
	}
	return b.image.Healthcheck
}

// architecture returns arch, or the base image's architecture if arch is empty.
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

// blobs lists the base image's layers.
func (b *baseImage) blobs() (all []ispec.Descriptor) {
	if b != nil {
		for _, l := range b.image.Layers {
			all = append(all, l.Descriptor)
		}
	}
	return all
}

// trimPrevious drops from the previous image the objects that the base image has.
func (b *baseImage) trimPrevious(p *ocilayout.PreviousImage) *ocilayout.PreviousImage {
	if b == nil {
		return p
	}
	return p.Without(b.tree.StoreNames())
}

func (b *baseImage) Close() error {
	if b == nil {
		return nil
	}
	return b.opener.Close()
}

func (b *baseImage) digest() string {
	if b == nil {
		return ""
	}
	return b.image.Digest.String()
}
