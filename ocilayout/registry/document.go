package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/export-profile/export-profile/ocilayout"
)

// manifestTypes are the media types of what registries store under manifests.
var manifestTypes = []string{ocilayout.DockerImageType, ocilayout.DockerListType, ispec.MediaTypeImageManifest, ispec.MediaTypeImageIndex}

func acceptManifests() http.Header { return http.Header{"Accept": {strings.Join(manifestTypes, ", ")}} }

// fetchManifest reads the manifest that a tag or digest leads to.
func (r *repository) fetchManifest(ctx context.Context, at Reference) (image ispec.Descriptor, b []byte, err error) {
	err = r.try(ctx, "read manifest of "+at.String(), func(ctx context.Context) error {
		image, b, err = r.getManifest(ctx, at.tagOrDigest())
		return err
	})
	return image, b, err
}

// errNoManifest means that an answer has no manifest in it.
var errNoManifest = errors.New("not a manifest")

// getManifest requests a manifest. Its descriptor comes from its content, since some registries send neither length nor digest.
func (r *repository) getManifest(ctx context.Context, reference string) (image ispec.Descriptor, b []byte, err error) {
	ctx = auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull)
	answer, err := r.send(ctx, http.MethodGet, r.url(manifests, reference), acceptManifests())
	if err != nil {
		return image, nil, err
	}
	defer answer.Body.Close()
	if answer.ContentLength <= ocilayout.MaxDocument {
		if b, err = io.ReadAll(io.LimitReader(answer.Body, ocilayout.MaxDocument+1)); err != nil {
			return image, nil, &transferError{err}
		}
	}
	if answer.ContentLength > ocilayout.MaxDocument || len(b) > ocilayout.MaxDocument {
		return image, nil, fmt.Errorf("it has more than %d MiB", ocilayout.MaxDocument>>20)
	}
	image.Digest, image.Size = digest.FromBytes(b), int64(len(b))
	if want := digest.Digest(reference); want.Validate() == nil {
		if want != image.Digest {
			return image, nil, fmt.Errorf("the registry sent digest %s", image.Digest)
		}
	} else if named := namedDigest(answer); named != "" && named != image.Digest {
		return image, nil, fmt.Errorf("the registry calls it %s, but its digest is %s", named, image.Digest)
	}
	image.MediaType, err = manifestType(answer.Header.Get("Content-Type"), b)
	return image, b, err
}

// manifestType returns the media type of a manifest. What the manifest itself says counts first, since its digest covers it,
// and not all registries send a Content-Type that fits.
func manifestType(contentType string, b []byte) (string, error) {
	sent, _, _ := mime.ParseMediaType(contentType)
	var m struct {
		MediaType         string
		Config, Manifests json.RawMessage
	}
	if err := json.Unmarshal(b, &m); err != nil && !isManifest(sent) {
		return "", fmt.Errorf("the registry sent %q, %w", sent, errNoManifest)
	}
	switch {
	case isManifest(m.MediaType):
		return m.MediaType, nil
	case isManifest(sent):
		return sent, nil
	case m.MediaType != "":
		return m.MediaType, nil
	case m.Manifests != nil:
		return ispec.MediaTypeImageIndex, nil
	case m.Config != nil:
		return ispec.MediaTypeImageManifest, nil
	}
	return sent, nil
}

// isManifest reports whether registries store a media type under manifests.
func isManifest(mediaType string) bool {
	for _, t := range manifestTypes {
		if t == mediaType {
			return true
		}
	}
	return false
}

// fetchConfig reads a small blob.
func (r *repository) fetchConfig(ctx context.Context, d ispec.Descriptor) (b []byte, err error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("read config of %s: %q: %w", r.at.Name(), d.Digest, err)
	}
	err = r.try(ctx, fmt.Sprintf("read config %s of %s", d.Digest, r.at.Name()), func(ctx context.Context) error {
		answer, err := r.get(auth.AppendRepositoryScope(ctx, r.scope, auth.ActionPull), blobs, d, 0)
		if err != nil {
			return err
		}
		if n := answer.ContentLength; n >= 0 && n != d.Size {
			answer.Body.Close()
			return fmt.Errorf("%s is %w: it has %d bytes instead of %d", d.Digest, ocilayout.ErrDamaged, n, d.Size)
		}
		b, err = readDocument(answer.Body, d)
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
