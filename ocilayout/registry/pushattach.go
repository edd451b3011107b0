package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Attachment is a document about an image.
type Attachment struct {
	MediaType   string // type of the content and of the artifact
	Content     []byte
	Annotations map[string]string // all annotations of the artifact's manifest
}

// Attach pushes a document as a referrer of an image: an artifact that has the image as its subject.
// The image need not be in the repository yet. If the registry does not list referrers, Attach adds the artifact
// to the referrers tag of the distribution specification (sha256-<hex>).
// Attaching the same document again changes nothing.
func (p *Push) Attach(ctx context.Context, image ispec.Descriptor, a Attachment) (ispec.Descriptor, error) {
	content := descriptorOf(a.MediaType, a.Content)
	subject := ispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size}
	manifest, err := json.Marshal(ispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ispec.MediaTypeImageManifest,
		ArtifactType: a.MediaType,
		Config:       ispec.DescriptorEmptyJSON,
		Layers:       []ispec.Descriptor{content},
		Subject:      &subject,
		Annotations:  a.Annotations,
	})
	if err != nil {
		return ispec.Descriptor{}, err
	}
	artifact := descriptorOf(ispec.MediaTypeImageManifest, manifest)
	artifact.ArtifactType = a.MediaType
	if err := p.putBytes(ctx, emptyDescriptor(), []byte(emptyConfig)); err != nil {
		return ispec.Descriptor{}, err
	}
	if err := p.putBytes(ctx, content, a.Content); err != nil {
		return ispec.Descriptor{}, err
	}
	ctx = p.scoped(ctx, "")
	what := fmt.Sprintf("attach %s to %s@%s", a.MediaType, p.to.Name(), image.Digest)
	return artifact, p.complete(ctx, func() error {
		return p.repo.try(ctx, what, func(ctx context.Context) error { return p.putReferrer(ctx, artifact, manifest) })
	})
}

// isMissing reports whether an error of reading a tag may mean that there is none.
func isMissing(err error) bool {
	return errors.Is(err, errNoManifest) || status(err) != 0 && !isTemporary(err)
}

func descriptorOf(mediaType string, b []byte) ispec.Descriptor {
	return ispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
}
