package registry

import (
	"bytes"
	"context"
	"fmt"

	"github.com/export-profile/export-profile/ocilayout"
)

// putChild pushes the manifest of an image of an index, by its digest and without a tag.
func (p *Push) putChild(ctx context.Context, b ocilayout.Blob) error {
	ctx = p.scoped(ctx, "")
	what := fmt.Sprintf("push manifest %s to %s", b.Digest, p.to.Name())
	there := false
	err := p.client.try(ctx, what, func(ctx context.Context) (err error) {
		there, err = p.repo.Manifests().Exists(ctx, b.Descriptor)
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
		return p.client.try(ctx, what, func(ctx context.Context) error {
			return p.repo.Manifests().Push(ctx, b.Descriptor, bytes.NewReader(manifest))
		})
	})
}
