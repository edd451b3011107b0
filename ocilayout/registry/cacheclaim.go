package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Keys sign and verify the claims of a cache. The caller chooses the form of keys and signatures.
type Keys struct {
	// Verify returns nil if one of the signatures of message is by a trusted key.
	Verify func(message []byte, signatures []string) error
	// Sign, if not nil, signs a message. Without it, the cache is not written.
	Sign func(message []byte) string
}

// claimKind is the kind of thing that a claim is about. The signature covers it,
// so that no claim passes as one of another kind.
type claimKind string

const (
	layerClaim claimKind = "layer"
	factClaim  claimKind = "fact"
)

func (k claimKind) artifactType() string {
	return "application/vnd.export-profile.cache." + string(k) + ".v1+json"
}

const (
	annotationClaim     = "export-profile.claim"     // JSON, exactly as signed
	annotationSignature = "export-profile.signature" // signatures name:base64, separated by spaces
)

// signedBytes returns the message that a claim's signature covers: its kind and its exact text.
func (k claimKind) signedBytes(text string) []byte {
	return []byte("export-profile cache 1 " + string(k) + "\n" + text)
}

// emptyConfig is the config that the specification prescribes for artifacts without one.
const emptyConfig = "{}"

// newClaim makes a signed claim about a blob, as an artifact's manifest.
func (k Keys) newClaim(kind claimKind, claim any, blob ispec.Descriptor) (image ispec.Descriptor, manifest []byte, err error) {
	text, err := json.Marshal(claim)
	if err != nil {
		return ispec.Descriptor{}, nil, err
	}
	m := ispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ispec.MediaTypeImageManifest,
		ArtifactType: kind.artifactType(),
		Config:       emptyDescriptor(),
		Layers:       []ispec.Descriptor{blob},
		Annotations: map[string]string{
			annotationClaim:     string(text),
			annotationSignature: k.Sign(kind.signedBytes(string(text))),
		},
	}
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("its manifest has %d bytes, and registries accept at most %d", len(b), maxManifest)
	}
	return ispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}, b, err
}

// maxSignatures limits how many signatures of a claim are verified.
const maxSignatures = 16

// maxManifest is the size of manifests that every registry accepts.
const maxManifest = 4 << 20

func emptyDescriptor() ispec.Descriptor {
	return ispec.Descriptor{MediaType: ispec.MediaTypeEmptyJSON, Digest: digest.FromString(emptyConfig), Size: int64(len(emptyConfig))}
}

// errNoClaim means that the cache has no claim about a subject.
var errNoClaim = errors.New("not in the shared cache")

// readClaim reads a claim and verifies its signature. The error says why there is none, or why it is not trusted.
func (c *SharedCache) readClaim(ctx context.Context, kind claimKind, tag string, claim any) error {
	if err := c.Err(); err != nil {
		return err
	}
	c.count(func(s *SharedCacheStats) { s.LookUps++ })
	at := c.at
	at.Tag, at.Digest = tag, ""
	image, b, err := c.repo.fetchManifest(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoClaim
	}
	var failed *Error
	var unreachable *url.Error
	if errors.As(err, &failed) && (failed.Tries > 1 || errors.As(err, &unreachable) || errors.Is(err, ErrDenied)) {
		c.fail(err)
	}
	if err != nil {
		return err
	}
	if image.MediaType != ispec.MediaTypeImageManifest {
		return fmt.Errorf("%s is of type %q", at, image.MediaType)
	}
	if err := c.keys.parseClaim(kind, b, claim); err != nil {
		return fmt.Errorf("%s is not trusted: %w", at, err)
	}
	return nil
}

// parseClaim verifies the claim in a manifest, and parses it.
func (k Keys) parseClaim(kind claimKind, manifest []byte, claim any) error {
	var m ispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	text := m.Annotations[annotationClaim]
	if text == "" {
		return errors.New("it has no claim")
	}
	signatures := strings.Fields(m.Annotations[annotationSignature])
	if err := k.Verify(kind.signedBytes(text), signatures[:min(len(signatures), maxSignatures)]); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), claim)
}

// writeClaim pushes a claim under tags. Its blob must already be in the repository.
func (c *SharedCache) writeClaim(ctx context.Context, image ispec.Descriptor, manifest []byte, tags ...string) error {
	if err := c.putEmptyConfig(ctx); err != nil {
		return err
	}
	ctx = c.push.scoped(ctx, "")
	for _, tag := range tags { // the caller has just found that the first one does not lead there
		if err := c.push.putTag(ctx, image, manifest, tag); err != nil {
			return err
		}
	}
	return nil
}

// putEmptyConfig pushes the config of all artifacts, once.
func (c *SharedCache) putEmptyConfig(ctx context.Context) error {
	c.emptyMu.Lock()
	defer c.emptyMu.Unlock()
	if c.hasEmpty {
		return nil
	}
	err := c.push.putEmptyConfig(ctx)
	c.hasEmpty = err == nil
	return err
}

// putEmptyConfig pushes the config of all artifacts.
func (p *Push) putEmptyConfig(ctx context.Context) error {
	return p.putBytes(ctx, emptyDescriptor(), []byte(emptyConfig))
}
