package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// Types of documents that are asked for as manifests and not as blobs.
const (
	dockerListType  = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerImageType = "application/vnd.docker.distribution.manifest.v2+json"
)

// ReadImage reads the manifest and the config of an image to look into it. Layers are read when they are asked for.
// Of an index it is the image for a platform. The error is fs.ErrNotExist if there is no such image.
func (c *Client) ReadImage(ctx context.Context, r Reference, platform ispec.Platform) (*ocilayout.Base, error) {
	repo, err := c.repository(ctx, r)
	if err != nil {
		return nil, err
	}
	desc, first, err := c.fetchManifest(ctx, repo, r)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context, d ispec.Descriptor) (body io.ReadCloser, err error) {
		if d.Digest == desc.Digest {
			return io.NopCloser(bytes.NewReader(first)), nil
		}
		switch d.MediaType {
		case ispec.MediaTypeImageManifest, ispec.MediaTypeImageIndex, dockerImageType, dockerListType:
			err = c.try(ctx, fmt.Sprintf("read manifest %s of %s", d.Digest, r.Name()), func(ctx context.Context) error {
				body, err = repo.Manifests().Fetch(ctx, d)
				return err
			})
			return body, err
		}
		return c.openBlob(ctx, repo, r, d)
	}
	return ocilayout.OpenBase(ctx, open, desc, platform)
}
