package main

import (
	"cmp"
	"context"
	"errors"
)

// runTar writes the root filesystem alone, as one tar. What is about an image's config has no place in it.
func (o *imageOptions) runTar(ctx context.Context, t terminal, file string) (err error) {
	say := o.speaker(t)
	defer say.close()
	if o.under.name != "" {
		return usagef("", "tar: is what is laid over --base and nothing of that: make an image")
	}
	if o.sharedCache() != "" || o.keyFile != "" || len(o.trusted) > 0 {
		return usagef("", "tar: has no layers that a cache in a registry could share")
	}
	if o.previous != "" || o.digestFile != "" || o.json || len(o.tags) > 0 {
		return usagef("", "tar: is a root filesystem and no image: it has no --tag, --previous, --digest-file or --json")
	}
	if len(o.sbomFlags.words) > 0 || o.maxSize != "" {
		return usagef("export-profile sbom writes a document without an image", "tar: is a root filesystem and no image: it has no --sbom and no --max-size")
	}
	compression, err := parseCompression(cmp.Or(o.compression, "none"))
	if err != nil {
		return err
	}
	image, err := o.image()
	if err != nil {
		return err
	}
	all, err := o.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	if o.check {
		if err = o.complete(&image, all, say); err == nil {
			err = o.refuse(ctx, all, image, say)
		}
		if err != nil {
			return err
		}
	}
	if err := writeTar(ctx, t, say, all, file, o.spoolDir(), compression, o.sync); err != nil {
		return err
	}
	o.trim(say)
	return nil
}
