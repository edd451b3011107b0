package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/export-profile/export-profile/ocilayout"
)

// maxDocument is how large a manifest or a config may be. Registries allow 4 MiB for a manifest.
const maxDocument = 16 << 20

// ReadPrevious reads the manifest and the config of an image, for another image to be planned by.
// Layers are read only where they have to be somewhere else than in that registry.
//
// The error is fs.ErrNotExist if there is no such image,
// and ocilayout.ErrForeign if a layer is not of this program's making.
// The digests of manifest and config are checked; what the history says is believed, as far as it makes sense.
func (c *Client) ReadPrevious(ctx context.Context, r Reference) (*ocilayout.Previous, error) {
	repo, err := c.repository(ctx, r)
	if err != nil {
		return nil, err
	}
	image, b, err := c.fetchManifest(ctx, repo, r)
	if err != nil {
		return nil, err
	}
	if image.MediaType != ispec.MediaTypeImageManifest {
		return nil, fmt.Errorf("read image %s: %w: it is of type %q", r, ocilayout.ErrForeign, image.MediaType)
	}
	var manifest ispec.Manifest
	if err := json.Unmarshal(b, &manifest); err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", r, err)
	}
	if manifest.Config.MediaType != ispec.MediaTypeImageConfig {
		return nil, fmt.Errorf("read image %s: %w: its config is of type %q", r, ocilayout.ErrForeign, manifest.Config.MediaType)
	}
	if b, err = c.fetchConfig(ctx, repo, r, manifest.Config); err != nil {
		return nil, err
	}
	var config ispec.Image
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, fmt.Errorf("read config of %s: %w", r, err)
	}
	p, err := ocilayout.ParsePrevious(image, manifest, config, func(k *ocilayout.Kept) {
		d := k.Descriptor
		k.Repository = r.Name()
		k.Open = func(ctx context.Context) (io.ReadCloser, error) { return c.openBlob(ctx, repo, r, d) }
	})
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", r, err)
	}
	return p, nil
}

func (c *Client) fetchManifest(ctx context.Context, repo *remote.Repository, r Reference) (image ispec.Descriptor, b []byte, err error) {
	err = c.try(ctx, "read manifest of "+r.String(), func(ctx context.Context) error {
		d, body, err := repo.Manifests().FetchReference(ctx, r.which())
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
		err = fmt.Errorf("read manifest of %s: its digest is %s", r, image.Digest)
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

// readDocument reads a manifest or a config, and checks that it is what was described.
func readDocument(r io.ReadCloser, d ispec.Descriptor) ([]byte, error) {
	defer r.Close()
	if d.Size < 0 || d.Size > maxDocument {
		return nil, fmt.Errorf("it has %d bytes", d.Size)
	}
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, &transferError{err}
	}
	if n != d.Size {
		return nil, &transferError{fmt.Errorf("%d bytes or more instead of %d", n, d.Size)}
	}
	if got := digest.FromBytes(b.Bytes()); got != d.Digest {
		return nil, fmt.Errorf("its digest is %s instead of %s", got, d.Digest)
	}
	return b.Bytes(), nil
}

// openBlob opens a layer. If the connection breaks, the rest is read through another one.
func (c *Client) openBlob(ctx context.Context, repo *remote.Repository, r Reference, d ispec.Descriptor) (io.ReadCloser, error) {
	b := &blobReader{ctx: auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull), client: c, repo: repo, of: d,
		what: fmt.Sprintf("read blob %s of %s", d.Digest, r.Name())}
	return b, b.open()
}

type blobReader struct {
	ctx    context.Context // of the opening
	client *Client
	repo   *remote.Repository
	of     ispec.Descriptor
	what   string
	fetch  func(context.Context) (io.ReadCloser, error) // from what was read on; nil: the repository's own

	body   io.ReadCloser
	n      int64 // bytes read
	broken int   // how often since something was read
	failed error
}

// open opens the blob where it was read to.
func (b *blobReader) open() error {
	return b.client.try(b.ctx, b.what, func(ctx context.Context) error {
		if b.fetch != nil {
			body, err := b.fetch(ctx)
			if err == nil {
				b.body = body
			}
			return err
		}
		body, err := b.repo.Blobs().Fetch(ctx, b.of)
		if err != nil {
			return err
		}
		if s, ok := body.(io.Seeker); ok && b.n > 0 {
			_, err = s.Seek(b.n, io.SeekStart)
		} else {
			_, err = io.CopyN(io.Discard, body, b.n)
		}
		if err != nil {
			body.Close()
			return &transferError{err}
		}
		b.body = body
		return nil
	})
}

func (b *blobReader) Read(p []byte) (int, error) {
	for b.failed == nil {
		n, err := b.body.Read(p)
		b.n += int64(n)
		switch {
		case n > 0:
			b.broken = 0
			return n, nil // an error comes again
		case err == nil || err == io.EOF && b.n >= b.of.Size:
			return 0, err
		}
		b.failed = b.reopen(err)
	}
	return 0, b.failed
}

// reopen goes on after an error.
func (b *blobReader) reopen(err error) error {
	b.body.Close()
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	if b.broken++; b.broken == tries {
		return &Error{Do: b.what, Tries: b.broken, Err: err}
	}
	b.client.explain("%s: broke off after %d bytes: %v; reading on", b.what, b.n, err)
	return b.open()
}

func (b *blobReader) Close() error { return b.body.Close() }
