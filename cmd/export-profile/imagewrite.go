package main

import (
	"context"
	"errors"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ship makes an image that has been built visible, and after it the files beside it.
// All that can fail has failed before.
func (o *imageOptions) ship(ctx context.Context, out *output, r request, all *assembled, made ispec.Descriptor) error {
	digest, err := newPending(o.digestFile, made.Digest.String()+"\n")
	if err != nil {
		return err
	}
	defer digest.remove()
	defer removeDocuments(r.docs)
	manifest, err := out.Manifest(made)
	if err != nil {
		return err
	}
	if err := writeDocuments(r.docs, all.closure, all.under, r.image, made, manifest); err != nil {
		return err
	}
	if out.attach != nil {
		if err := out.attach(ctx, made, r.image.Created, r.docs); err != nil {
			return err
		}
	}
	if err := out.publish(ctx, made); err != nil {
		return err
	}
	return errors.Join(digest.publish(), publishDocuments(r.docs))
}

// result prints what was made.
func (o *imageOptions) result(t terminal, say *speaker, out *output, r request, all *assembled, made ispec.Descriptor, changed *changes) error {
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
		}{made.Digest.String(), r.dest.place(), r.image.Platform, len(r.image.Layers) + all.under.layers(), all.under.digest(),
			changed, documentFiles(r.docs), all.contents()})
	case out.stdout:
		say.debugf("digest: %s", made.Digest)
		return nil
	}
	fmt.Fprintln(t.out, made.Digest)
	say.hintf("%s", r.dest.next())
	return nil
}
