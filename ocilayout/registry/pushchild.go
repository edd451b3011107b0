package registry

import (
	"context"
	"fmt"

	"github.com/export-profile/export-profile/ocilayout"
)

// putChild pushes the manifest of an image of an index, by its digest and without a tag.
func (p *Push) putChild(ctx context.Context, b ocilayout.Blob) error {
	ctx = p.scoped(ctx, "")
	what := fmt.Sprintf("push manifest %s to %s", b.Digest, p.to.Name())
	there, asked := false, 0
	err := p.repo.try(ctx, what, func(ctx context.Context) (err error) {
		asked++
		there, err = p.ask(ctx, manifests, b.Descriptor, asked)
		return err
	})
	if there || err != nil {
		return err
	}
	r, err := b.Open(ctx)
	if err != nil {
		return err
	}
	manifest, err := readDocument(r, b.Descriptor)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return p.complete(ctx, func() error {
		return p.repo.try(ctx, what, func(ctx context.Context) error { return p.putReferrer(ctx, b.Descriptor, manifest) })
	})
}
