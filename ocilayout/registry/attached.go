package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// Attached is an artifact that is attached to a manifest. Its manifest has the digest of its descriptor, and names the subject.
type Attached struct {
	// Descriptor describes the artifact's manifest. Artifact type and annotations are those of the manifest itself,
	// whatever the registry lists. Without an artifact type, it is the media type of the config, as the specification says.
	ispec.Descriptor
	Subject  digest.Digest
	Config   ispec.Descriptor
	Layers   []ispec.Descriptor // the artifact's contents
	Manifest []byte             // as the registry stores it
}

// maxArtifact limits the bytes of an artifact's manifest. Registries need not take larger ones.
const maxArtifact = 4 << 20

// Read reads the manifest of an artifact that List has listed. It is an error if the manifest does not have the listed digest,
// is no image manifest, is larger than 4 MiB or names another subject. The listed size does not count:
// some versions of Harbor add the sizes of the contents (https://github.com/goharbor/harbor/issues/20187).
func (r *Referrers) Read(ctx context.Context, subject digest.Digest, listed ispec.Descriptor) (*Attached, error) {
	at := r.repo.at
	at.Digest = listed.Digest
	what := fmt.Sprintf("read what is attached to %s@%s: %s", at.Name(), subject, listed.Digest)
	if err := errors.Join(ocilayout.CheckDigest(subject), ocilayout.CheckDigest(listed.Digest)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	d, b, err := r.repo.fetchManifest(ctx, at)
	if err != nil {
		return nil, err
	}
	if d.Size != listed.Size {
		r.repo.client.explain("%s: it has %d bytes, and the registry lists %d", what, d.Size, listed.Size)
	}
	a, err := parseAttached(subject, d, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return a, nil
}

// parseAttached parses the manifest of an artifact.
func parseAttached(subject digest.Digest, d ispec.Descriptor, b []byte) (*Attached, error) {
	if d.MediaType != ispec.MediaTypeImageManifest {
		return nil, fmt.Errorf("it is of type %q, and an artifact is an image manifest", d.MediaType)
	}
	m, err := parseArtifact(b)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Subject == nil:
		return nil, errors.New("it is attached to nothing")
	case m.Subject.Digest != subject:
		return nil, fmt.Errorf("it is attached to %q", m.Subject.Digest)
	}
	if d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations; d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	return &Attached{Descriptor: d, Subject: subject, Config: m.Config, Layers: m.Layers, Manifest: b}, nil
}

// artifact has the fields of an artifact's manifest that count here.
type artifact struct {
	ArtifactType string
	Config       ispec.Descriptor
	Layers       descriptors
	Subject      *ispec.Descriptor
	Annotations  map[string]string
}

func parseArtifact(b []byte) (m artifact, err error) {
	if len(b) > maxArtifact {
		return m, fmt.Errorf("its manifest has more than %d MiB", maxArtifact>>20)
	}
	err = json.Unmarshal(b, &m)
	return m, err
}

// maxContent limits the bytes of a document that Content reads. The largest bundle of an attestation has about 86 MiB.
const maxContent = 96 << 20

// Content reads the content of an artifact that has one layer, of at most 96 MiB, and checks its digest and size.
func (r *Referrers) Content(ctx context.Context, a *Attached) ([]byte, error) {
	what := fmt.Sprintf("read what is attached to %s@%s: %s", r.repo.at.Name(), a.Subject, a.Digest)
	if n := len(a.Layers); n != 1 {
		return nil, fmt.Errorf("%s: it has %d layers, and a document has one", what, n)
	}
	d := a.Layers[0]
	if err := ocilayout.CheckDigest(d.Digest); err != nil {
		return nil, fmt.Errorf("%s: content: %w", what, err)
	}
	if d.Size < 0 || d.Size > maxContent {
		return nil, fmt.Errorf("%s: its content has %d bytes, and at most %d MiB are read", what, d.Size, maxContent>>20)
	}
	d.MediaType = "" // whatever it says, a layer is a blob
	in, err := r.repo.open(ctx, d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(in, d.Size+1))
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if got := digest.FromBytes(b); int64(len(b)) != d.Size || got != d.Digest {
		return nil, fmt.Errorf("%s: its content is %w: %s instead of %s, of %d bytes", what, ocilayout.ErrDamaged, got, d.Digest, d.Size)
	}
	return b, nil
}

// Document is a document that is attached to a manifest.
type Document struct {
	Attached
	Content []byte
	// Err says why the document could not be read. Then only Subject and the listed Descriptor are set.
	Err error
}

// maxDocuments limits the artifacts that Documents reads about one subject.
const maxDocuments = 1000

// Documents reads the documents attached to subjects, one after the other, sorted by digest for each subject.
// It takes those whose artifact type begins with prefix. It trusts what the registry lists only to leave documents out,
// and not if a config's type is listed instead of the artifact type.
//
// If a document is not what the registry lists, do gets it with Err. An error of List or of do ends Documents,
// and so do more than 1000 such artifacts about one subject.
func (r *Referrers) Documents(ctx context.Context, subjects []digest.Digest, prefix string, do func(Document) error) error {
	for _, subject := range subjects {
		listed, err := r.List(ctx, subject)
		if err != nil {
			return err
		}
		n := 0
		for _, d := range listed {
			if !strings.HasPrefix(d.ArtifactType, prefix) && !unsure(d.ArtifactType) {
				continue
			}
			if n++; n > maxDocuments {
				return fmt.Errorf("more than %d documents are attached to %s@%s", maxDocuments, r.repo.at.Name(), subject)
			}
			document := r.document(ctx, subject, d, prefix)
			if document == nil {
				continue
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := do(*document); err != nil {
				return err
			}
		}
	}
	return nil
}

// document reads a listed artifact. It returns nil if the artifact is of another type.
func (r *Referrers) document(ctx context.Context, subject digest.Digest, listed ispec.Descriptor, prefix string) *Document {
	a, err := r.Read(ctx, subject, listed)
	if err == nil && !strings.HasPrefix(a.ArtifactType, prefix) {
		return nil
	}
	var content []byte
	if err == nil {
		content, err = r.Content(ctx, a)
	}
	if err != nil {
		return &Document{Attached: Attached{Descriptor: listed, Subject: subject}, Err: err}
	}
	return &Document{Attached: *a, Content: content}
}

// unsure reports whether a listed artifact type may hide another one. Clients that write the referrers tag with old versions
// of go-containerregistry list none (https://github.com/google/go-containerregistry/issues/1997),
// and some versions of Harbor list the config's (https://github.com/goharbor/harbor/issues/19867).
func unsure(artifactType string) bool {
	switch artifactType {
	case "", ispec.MediaTypeEmptyJSON, ispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json":
		return true
	}
	return false
}
