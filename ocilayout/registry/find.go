package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

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
	image, manifest, err := c.fetchManifest(ctx, repo, r)
	if err != nil {
		return nil, err
	}
	return &ocilayout.ImageSource{
		Name: "docker://" + r.String(), Descriptor: image, Repository: r.Name(),
		Open: func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
			if d.Digest == image.Digest {
				return io.NopCloser(bytes.NewReader(manifest)), nil
			}
			return c.openBlob(ctx, repo, r, d)
		},
	}, nil
}

// openBlob opens a manifest or another blob, and trusts the length that the registry announces.
// If the connection breaks, the reader reads the rest through another one.
func (c *Client) openBlob(ctx context.Context, repo *remote.Repository, r Reference, d ispec.Descriptor) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read %q of %s: %w", d.Digest, r.Name(), err)
	}
	kind := "blobs"
	if isManifest(d.MediaType) {
		kind = "manifests"
	}
	b := &blobReader{ctx: auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull), client: c, of: d,
		what: fmt.Sprintf("read blob %s of %s", d.Digest, r.Name())}
	b.fetch = func(ctx context.Context) (io.ReadCloser, error) {
		answer, err := get(ctx, repo, kind, d, b.n)
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
func get(ctx context.Context, repo *remote.Repository, kind string, d ispec.Descriptor, from int64) (*http.Response, error) {
	scheme := "https"
	if repo.PlainHTTP {
		scheme = "http"
	}
	at := fmt.Sprintf("%s://%s/v2/%s/%s/%s", scheme, repo.Reference.Host(), repo.Reference.Repository, kind, d.Digest)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	if kind == "manifests" {
		request.Header.Set("Accept", d.MediaType)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	answer, err := repo.Client.Do(request)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode == http.StatusOK:
		if _, err := io.CopyN(io.Discard, answer.Body, from); err != nil {
			answer.Body.Close()
			return nil, &transferError{err}
		}
		return answer, nil
	case from > 0 && answer.StatusCode == http.StatusPartialContent:
		return answer, nil
	}
	defer answer.Body.Close()
	failed := &errcode.ErrorResponse{Method: request.Method, URL: request.URL, StatusCode: answer.StatusCode}
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if json.NewDecoder(io.LimitReader(answer.Body, 8<<10)).Decode(&body) == nil {
		failed.Errors = body.Errors
	}
	return nil, failed
}

// isManifest reports whether registries store a media type under manifests.
func isManifest(mediaType string) bool {
	switch mediaType {
	case ispec.MediaTypeImageManifest, ispec.MediaTypeImageIndex,
		ocilayout.DockerImageType, ocilayout.DockerListType:
		return true
	}
	return false
}
