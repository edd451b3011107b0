package registry

import (
	"bytes"
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

// Keys decide what is believed of what a cache says. Of both, the caller knows how keys look.
type Keys struct {
	// Verify says why no signature of a message is one of somebody who is trusted.
	Verify func(message []byte, signatures []string) error
	// Sign, if not nil, signs what others may believe. Without it nothing is written.
	Sign func(message []byte) string
}

// claimKind is what a claim is about. It is signed, too, so that no claim can be taken for one of another kind.
type claimKind string

const (
	layerClaim claimKind = "layer"
	factClaim  claimKind = "fact"
)

func (k claimKind) artifactType() string {
	return "application/vnd.export-profile.cache." + string(k) + ".v1+json"
}

const (
	annotationClaim     = "export-profile.claim"     // JSON, as it was signed
	annotationSignature = "export-profile.signature" // name:base64, several with spaces between them
)

// signed is what a claim's signature is of: what it is, and the claim byte by byte.
func (k claimKind) signed(text string) []byte {
	return []byte("export-profile cache 1 " + string(k) + "\n" + text)
}

// emptyConfig is what the specification has artifacts without a config refer to.
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
			annotationSignature: k.Sign(kind.signed(string(text))),
		},
	}
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxClaim {
		err = fmt.Errorf("its manifest has %d bytes, and registries take %d", len(b), maxClaim)
	}
	return ispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}, b, err
}

// maxSignatures is how many signatures of a claim are looked at.
const maxSignatures = 16

// maxClaim is how large a manifest may be in all registries.
const maxClaim = 4 << 20

func emptyDescriptor() ispec.Descriptor {
	return ispec.Descriptor{MediaType: ispec.MediaTypeEmptyJSON, Digest: digest.FromString(emptyConfig), Size: int64(len(emptyConfig))}
}

// errNoClaim is the plain reason why something is not had from a cache: it is not there.
var errNoClaim = errors.New("not in the shared cache")

// readClaim reads a claim that is believed. The error says why there is none, or why it is not.
func (c *SharedCache) readClaim(ctx context.Context, kind claimKind, tag string, claim any) error {
	if err := c.failedBefore(); err != nil {
		return err
	}
	at := c.at
	at.Tag, at.Digest = tag, ""
	image, b, err := c.client.fetchManifest(ctx, c.repo, at)
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
		return fmt.Errorf("%s is not believed: %w", at, err)
	}
	return nil
}

// parseClaim parses the claim in a manifest if it is to be believed.
func (k Keys) parseClaim(kind claimKind, manifest []byte, claim any) error {
	var m ispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	text := m.Annotations[annotationClaim]
	if text == "" {
		return errors.New("it says nothing")
	}
	signatures := strings.Fields(m.Annotations[annotationSignature])
	if err := k.Verify(kind.signed(text), signatures[:min(len(signatures), maxSignatures)]); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), claim)
}

// writeClaim makes a claim visible under tags. Its blob must be there.
func (c *SharedCache) writeClaim(ctx context.Context, image ispec.Descriptor, manifest []byte, tags ...string) error {
	if err := c.putEmpty(ctx); err != nil {
		return err
	}
	ctx = c.push.scoped(ctx, "")
	for _, tag := range tags {
		if err := c.push.tag(ctx, image, manifest, tag); err != nil {
			return err
		}
	}
	return nil
}

// putEmpty puts the config of all artifacts into the repository, once.
func (c *SharedCache) putEmpty(ctx context.Context) error {
	c.emptyMu.Lock()
	defer c.emptyMu.Unlock()
	if c.hasEmpty {
		return nil
	}
	err := c.putBytes(ctx, emptyDescriptor(), []byte(emptyConfig))
	c.hasEmpty = err == nil
	return err
}

// putBytes puts a small blob into the repository unless it has it.
func (c *SharedCache) putBytes(ctx context.Context, d ispec.Descriptor, b []byte) error {
	what := fmt.Sprintf("push blob %s to %s", d.Digest, c.at.Name())
	return c.client.try(c.push.scoped(ctx, ""), what, func(ctx context.Context) error {
		there, err := c.repo.Blobs().Exists(ctx, d)
		if err != nil || there {
			return err
		}
		return c.repo.Blobs().Push(ctx, d, bytes.NewReader(b))
	})
}
