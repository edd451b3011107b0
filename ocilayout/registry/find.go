package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/export-profile/export-profile/ocilayout"
)

// Find finds an image or an index, reads its manifest and checks the digest.
// Other blobs are fetched when they are opened. The reader must check their digests and sizes.
// The error wraps fs.ErrNotExist if there is no such image.
func (c *Client) Find(ctx context.Context, r Reference) (*ocilayout.ImageSource, error) {
	repo, err := c.repository(ctx, r)
	if err != nil {
		return nil, err
	}
	image, manifest, err := repo.fetchManifest(ctx, r)
	if err != nil {
		return nil, err
	}
	return &ocilayout.ImageSource{
		Name: "docker://" + r.String(), Descriptor: image, Repository: r.Name(),
		Open: func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
			if d.Digest == image.Digest {
				return io.NopCloser(bytes.NewReader(manifest)), nil
			}
			return repo.open(ctx, d)
		},
	}, nil
}

// open opens a manifest or another blob, and trusts the length that the registry announces.
// If the connection breaks, the reader reads the rest through another one.
func (r *repository) open(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read %q of %s: %w", d.Digest, r.at.Name(), err)
	}
	kind := blobs
	if isManifest(d.MediaType) {
		kind = manifests
	}
	b := &blobReader{ctx: auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull), repo: r, of: d,
		what: fmt.Sprintf("read blob %s of %s", d.Digest, r.at.Name())}
	b.fetch = func(ctx context.Context) (io.ReadCloser, error) {
		answer, err := r.get(ctx, kind, d, b.n)
		if err != nil {
			return nil, err
		}
		if b.n == 0 {
			b.of.Size = max(answer.ContentLength, 0) // without a length, HTTP itself detects a broken body
		}
		return answer.Body, nil
	}
	return b, b.open()
}

// get requests a manifest or another blob from an offset.
func (r *repository) get(ctx context.Context, kind string, d ispec.Descriptor, from int64) (*http.Response, error) {
	header := http.Header{}
	if kind == manifests {
		header.Set("Accept", d.MediaType)
	} else {
		// A layer is compressed itself, and some storages label it so. Without this, it would be decompressed on the way.
		header.Set("Accept-Encoding", "identity")
	}
	if from > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	answer, err := r.send(ctx, http.MethodGet, r.url(kind, d.Digest.String()), header)
	if err != nil || from > 0 && answer.StatusCode == http.StatusPartialContent {
		return answer, err
	}
	if _, err := io.CopyN(io.Discard, answer.Body, from); err != nil {
		answer.Body.Close()
		return nil, &transferError{err}
	}
	return answer, nil
}
