package main

import (
	"context"
	"errors"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// deliver writes the image's blobs to its destination and publishes the image. If a layer of the shared cache is gone
// by the time the destination turns out to need it, deliver does it again without the shared cache.
// lost counts the layers that were found there but not fetched. The caller closes the writer.
func (o *imageOptions) deliver(ctx context.Context, t terminal, say *speaker, r *request, a *assembly, plan layerPlan, cache *ocilayout.Cache, shared *sharedCache) (
	out *imageWriter, image ispec.Descriptor, changed *imageUpdate, lost int, err error) {
	t.ballast.drop()
	for {
		if out, image, err = o.write(ctx, t, say, *r, a, cache, shared); err != nil {
			return nil, image, nil, 0, err
		}
		if !o.verifyCache {
			lost += countLost(r.image.Layers, out.Results())
		}
		changed = plan.compare(ctx, say, out.Layout, openKnown(cache, r.image.Layers, a.baseImage))
		if err = o.publish(ctx, say, out, *r, a, image); err == nil {
			return out, image, changed, lost, nil
		}
		err = errors.Join(err, out.Close())
		n := withoutShared(r.image.Layers, err)
		if n == 0 {
			return nil, image, nil, 0, err
		}
		say.debugf("all over again without the shared cache: %v", err)
		lost += n
	}
}

// write writes the image's blobs to its destination, where nothing sees them yet. The caller closes the writer.
func (o *imageOptions) write(ctx context.Context, t terminal, say *speaker, r request, a *assembly, cache *ocilayout.Cache, shared *sharedCache) (
	_ *imageWriter, _ ispec.Descriptor, err error) {
	var image ispec.Descriptor
	writing := say.progressSending("writing", a.closure.Size(), &o.sent)
	out, err := r.dest.open(ctx, destinationOptions{t.out, o.json, o.spoolDir(), &o.registryFlags, r.mount}, say, ocilayout.Options{
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
	plain := 0
	for _, l := range out.Results() {
		say.debugf("layer %s: %v, %d bytes", l.Name, l.How, l.Size)
		if r.image.Compression.Chunked() && !l.Chunked && l.How != ocilayout.Reused {
			say.debugf("layer %s has no chunks", l.Name)
			plain++
		}
	}
	if plain > 0 {
		say.notef("%s without chunks: a name is not UTF-8, or a layer has more than about 400,000 files; --debug names the layers", count(plain, "layer"))
	}
	if err := r.budget.check("the image", "blobs", out.LastImage().Size(), nil); err != nil {
		return nil, image, err
	}
	return out, image, nil
}

// publish writes the files beside the image, makes the image visible, and then renames the files, which hardly ever fails.
func (o *imageOptions) publish(ctx context.Context, say *speaker, out *imageWriter, r request, a *assembly, image ispec.Descriptor) error {
	digest, err := newPendingFile(o.digestFile, image.Digest.String())
	if err != nil {
		return err
	}
	defer digest.remove(say)
	defer removeDocuments(say, r.documents())
	manifest, err := out.Manifest(image)
	if err != nil {
		return err
	}
	if err := writeSBOMs(r.sboms, a, r.image, image, manifest); err != nil {
		return err
	}
	if err := o.attest(ctx, say, r, a, image); err != nil {
		return err
	}
	if out.attach != nil {
		if err := out.attach(ctx, image, r.image.Created, r.documents()); err != nil {
			return err
		}
	}
	if err := out.publish(ctx, image); err != nil {
		return err
	}
	return withHint(errors.Join(digest.publish(), publishDocuments(r.documents())), "the image is complete; run the command again for the file")
}

// print prints the image's digest, or all about it as JSON.
func (o *imageOptions) print(t terminal, say *speaker, out *imageWriter, r request, a *assembly, image ispec.Descriptor, changed *imageUpdate, traffic *sharedCacheResult) error {
	published(t.out, "the image is complete: %s", image.Digest)
	switch {
	case o.json:
		return printJSON(t.out, struct {
			Digest string `json:"digest"`
			place
			Platform ispec.Platform     `json:"platform"`
			Layers   int                `json:"layers"`
			Base     string             `json:"base,omitempty"`
			Previous *imageUpdate       `json:"previous,omitempty"`
			SBOMs    []string           `json:"sboms,omitempty"`       // files
			Attested string             `json:"attestation,omitempty"` // file
			Shared   *sharedCacheResult `json:"sharedCache,omitempty"`
			contents
		}{image.Digest.String(), r.dest.place(), r.image.Platform, len(r.image.Layers) + a.baseImage.layers(), a.baseImage.digest(),
			changed, sbomFileNames(r.sboms), r.attestation.name(), traffic, a.contents()})
	case out.stdout:
		say.debugf("digest: %s", image.Digest)
		return nil
	}
	fmt.Fprintln(t.out, image.Digest)
	say.hintf("%s", r.dest.next())
	return nil
}
