package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/export-profile/export-profile/ocilayout"
)

func (c *Client) fetchManifest(ctx context.Context, repo *remote.Repository, r Reference) (image ispec.Descriptor, b []byte, err error) {
	err = c.try(ctx, "read manifest of "+r.String(), func(ctx context.Context) error {
		d, body, err := repo.Manifests().FetchReference(ctx, r.tagOrDigest())
		if err != nil {
			return err
		}
		if b, err = readDocument(body, d); err != nil {
			return err
		}
		image = ispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
		return nil
	})
	if err == nil && r.Digest != "" && image.Digest != r.Digest {
		err = fmt.Errorf("read manifest of %s: the registry sent digest %s", r, image.Digest)
	}
	return image, b, err
}

func (c *Client) fetchConfig(ctx context.Context, repo *remote.Repository, r Reference, d ispec.Descriptor) (b []byte, err error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read config of %s: %q: %w", r, d.Digest, err)
	}
	err = c.try(ctx, fmt.Sprintf("read config %s of %s", d.Digest, r), func(ctx context.Context) error {
		body, err := repo.Blobs().Fetch(ctx, d)
		if err != nil {
			return err
		}
		b, err = readDocument(body, d)
		return err
	})
	return b, err
}

// readDocument reads a manifest or a config, and checks it against its descriptor.
// Errors that a retry may fix are transferErrors.
func readDocument(r io.ReadCloser, d ispec.Descriptor) ([]byte, error) {
	defer r.Close()
	b, err := ocilayout.ReadDocument(r, d)
	if err != nil && !errors.Is(err, ocilayout.ErrDamaged) {
		err = &transferError{err}
	}
	return b, err
}
