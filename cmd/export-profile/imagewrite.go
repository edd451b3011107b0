package main

import (
	"context"
	"errors"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// write writes the image's blobs to its destination, where nothing sees them yet. The caller closes the output.
func (o *imageOptions) write(ctx context.Context, t terminal, say *speaker, r request, all *assembled, cache *ocilayout.Cache, shared *sharedCache) (
	_ *output, _ ispec.Descriptor, err error) {
	var image ispec.Descriptor
	writing := say.progressSending("writing", all.closure.Size(), &o.sent)
	out, err := r.dest.open(ctx, outlet{t.out, o.json, o.spoolDir(), &o.registryFlags, r.mount}, say, ocilayout.Options{
		Progress:    writing.add,
		Sync:        o.sync,
		Cache:       cache,
		Record:      shared.recorder(),
		VerifyCache: o.verifyCache,
		Explain:     say.debugf,
	})
	if err != nil {
		return nil, image, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close())
		}
	}()
	image, err = out.AddImage(ctx, r.image)
	writing.done()
	if err != nil {
		return nil, image, err
	}
	for _, l := range out.Results() {
		say.debugf("layer %s: %v, %d bytes", l.Name, l.How, l.Size)
	}
	if err := r.budget.check("the image", "blobs", out.LastImage().Size(), nil); err != nil {
		return nil, image, err
	}
	return out, image, nil
}

// publish makes the image visible, and then the files beside it. It does last what cannot fail.
func (o *imageOptions) publish(ctx context.Context, out *output, r request, all *assembled, image ispec.Descriptor) error {
	digest, err := newPending(o.digestFile, image.Digest.String()+"\n")
	if err != nil {
		return err
	}
	defer digest.remove()
	defer removeBOMs(r.boms)
	manifest, err := out.Manifest(image)
	if err != nil {
		return err
	}
	if err := writeBOMs(r.boms, all.closure, all.under, r.image, image, manifest); err != nil {
		return err
	}
	if out.attach != nil {
		if err := out.attach(ctx, image, r.image.Created, r.boms); err != nil {
			return err
		}
	}
	if err := out.publish(ctx, image); err != nil {
		return err
	}
	return errors.Join(digest.publish(), publishBOMs(r.boms))
}

// print prints the image's digest, or all about it as JSON.
func (o *imageOptions) print(t terminal, say *speaker, out *output, r request, all *assembled, image ispec.Descriptor, changed *changes) error {
	switch {
	case o.json:
		return printJSON(t.out, struct {
			Digest string `json:"digest"`
			place
			Platform ispec.Platform `json:"platform"`
			Layers   int            `json:"layers"`
			Base     string         `json:"base,omitempty"`
			Previous *changes       `json:"previous,omitempty"`
			SBOMs    []string       `json:"sboms,omitempty"` // files
			contents
		}{image.Digest.String(), r.dest.place(), r.image.Platform, len(r.image.Layers) + all.under.layers(), all.under.digest(),
			changed, bomFiles(r.boms), all.contents()})
	case out.stdout:
		say.debugf("digest: %s", image.Digest)
		return nil
	}
	fmt.Fprintln(t.out, image.Digest)
	say.hintf("%s", r.dest.next())
	return nil
}
