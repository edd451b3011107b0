package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// leads reports whether a tag already leads to an image. If the registry does not say, it does not.
func (r *repository) leads(ctx context.Context, tag string, image ispec.Descriptor) bool {
	answer, err := r.send(ctx, http.MethodHead, r.url(manifests, tag), http.Header{"Accept": {image.MediaType}})
	if err != nil {
		return false
	}
	answer.Body.Close()
	return namedDigest(answer) == image.Digest
}

// putManifest puts a manifest under a tag or its digest. listed reports whether the registry lists it as a referrer of its subject.
func (r *repository) putManifest(ctx context.Context, d ispec.Descriptor, b []byte, reference string) (listed bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, r.url(manifests, reference), bytes.NewReader(b))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", d.MediaType)
	answer, err := r.do(request)
	if err != nil {
		return false, refused(err, d.Size, typesOf(d.MediaType, b)...)
	}
	drain(answer)
	if stored := namedDigest(answer); stored != "" && stored != d.Digest {
		return false, fmt.Errorf("the registry stored it as %s", stored)
	}
	return answer.Header.Get("OCI-Subject") != "", nil
}

// typesOf lists the media type of a manifest and those of what it refers to.
func typesOf(mediaType string, manifest []byte) []string {
	types := []string{mediaType}
	var m struct {
		Config            ispec.Descriptor
		Layers, Manifests []ispec.Descriptor
	}
	if json.Unmarshal(manifest, &m) == nil {
		for _, d := range append(append([]ispec.Descriptor{m.Config}, m.Layers...), m.Manifests...) {
			if d.MediaType != "" && d.MediaType != types[len(types)-1] {
				types = append(types, d.MediaType)
			}
		}
	}
	return types
}

// putReferrer puts a manifest by its digest. If it has a subject and the registry does not list referrers,
// putReferrer adds it to the referrers tag.
func (p *Push) putReferrer(ctx context.Context, d ispec.Descriptor, b []byte) error {
	listed, err := p.repo.putManifest(ctx, d, b, d.Digest.String())
	if err != nil || listed {
		return err
	}
	var m ispec.Manifest // an index has the same fields
	if err := json.Unmarshal(b, &m); err != nil || m.Subject == nil {
		return nil
	}
	d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations
	if d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	return p.addReferrer(ctx, *m.Subject, d)
}

// addReferrer adds a manifest to the index under the referrers tag of its subject.
func (p *Push) addReferrer(ctx context.Context, subject, referrer ispec.Descriptor) error {
	if err := subject.Digest.Validate(); err != nil {
		return fmt.Errorf("subject %q: %w", subject.Digest, err)
	}
	p.referring.Lock()
	defer p.referring.Unlock()
	index, err := p.repo.taggedReferrers(ctx, subject.Digest)
	if err != nil {
		return err
	}
	for _, d := range index.Manifests {
		if d.Digest == referrer.Digest {
			return nil
		}
	}
	index.Manifests = append(index.Manifests, referrer)
	b, err := json.Marshal(index)
	if err != nil {
		return err
	}
	_, err = p.repo.putManifest(ctx, descriptorOf(ispec.MediaTypeImageIndex, b), b, referrersTag(subject.Digest))
	return err
}
