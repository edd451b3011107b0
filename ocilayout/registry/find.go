package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

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
		OpenRange: repo.openRange,
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

// errNoRanges means that a registry does not answer requests for a part of a blob.
var errNoRanges = errors.New("the registry sends only whole blobs")

// openRange opens length bytes of a blob, from offset on. It reads no more if the registry sends more.
func (r *repository) openRange(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read %q of %s: %w", d.Digest, r.at.Name(), err)
	}
	part := d
	part.Size = length
	b := &blobReader{ctx: auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull), repo: r, of: part,
		what: fmt.Sprintf("read %d bytes of blob %s of %s", length, d.Digest, r.at.Name())}
	b.fetch = func(ctx context.Context) (io.ReadCloser, error) { return r.getRange(ctx, d, offset+b.n, offset+length) }
	return b, b.open()
}

// getRange requests the bytes of a blob from an offset to before another one.
func (r *repository) getRange(ctx context.Context, d ispec.Descriptor, from, to int64) (io.ReadCloser, error) {
	header := http.Header{}
	header.Set("Accept-Encoding", "identity")
	header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	answer, err := r.send(ctx, http.MethodGet, r.url(blobs, d.Digest.String()), header)
	if err != nil {
		return nil, err
	}
	sent := answer.Header.Get("Content-Range")
	switch {
	case answer.StatusCode != http.StatusPartialContent:
		err = errNoRanges
	case sent != "" && !strings.HasPrefix(sent, fmt.Sprintf("bytes %d-%d/", from, to-1)):
		err = fmt.Errorf("the registry sends %q instead of bytes %d-%d", sent, from, to-1)
	default:
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, to-from), answer.Body}, nil
	}
	answer.Body.Close() // the rest is not read: the connection ends
	return nil, err
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
