package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// Carried is an artifact that Carry has found.
type Carried struct {
	ispec.Descriptor               // of its manifest
	Subject          digest.Digest // what it is attached to, or describes
	Tag              string        // for cosign's tags; otherwise ""
	Err              error         // why the destination does not have it, or nil
}

const (
	maxCarried      = 1000    // artifacts for an image
	maxCarriedBytes = 1 << 30 // of the contents of an artifact
)

// Carry copies what is attached to an image from another repository, byte for byte, and what is attached to that, such as
// a signature of an SBOM. The image itself must be in the destination, or come later, with the same digest:
// the artifacts name it, so they stay valid. Carry also copies the tags in which cosign 1 and 2 keep signatures,
// attestations and SBOMs (sha256-<hex>.sig, .att and .sbom). From the repository itself there is nothing to copy.
//
// Artifacts that the source does not have as listed, that have more than 1 GiB, or that the destination refuses, have an Err.
// A failure that may pass ends Carry, and so do more than 1000 artifacts, and a source that refuses to list them.
func (p *Push) Carry(ctx context.Context, from *Referrers, image digest.Digest) ([]Carried, error) {
	if from.repo.at.Name() == p.to.Name() {
		return nil, nil
	}
	var all []Carried
	subjects := []digest.Digest{image}
	met := map[digest.Digest]bool{image: true}
	for i := 0; i < len(subjects); i++ {
		listed, err := from.List(ctx, subjects[i])
		if err != nil {
			return all, err
		}
		for _, d := range listed {
			if len(all) == maxCarried {
				return all, fmt.Errorf("more than %d artifacts are attached to %s@%s", maxCarried, from.repo.at.Name(), image)
			}
			a, err := p.carryArtifact(ctx, from, subjects[i], d)
			if passes(ctx, err) {
				return all, err
			}
			c := Carried{Descriptor: d, Subject: subjects[i], Err: err}
			if a != nil {
				c.Descriptor = a.Descriptor
			}
			all = append(all, c)
			if i == 0 && !met[d.Digest] && a != nil {
				met[d.Digest] = true
				subjects = append(subjects, d.Digest)
			}
		}
	}
	tagged, err := p.carryTags(ctx, from, image)
	return append(all, tagged...), err
}

// passes reports whether a failure may pass, or is that of the caller.
func passes(ctx context.Context, err error) bool {
	return err != nil && (context.Cause(ctx) != nil || isTemporary(err))
}

// carryArtifact copies one artifact. The result is nil if it cannot be read.
func (p *Push) carryArtifact(ctx context.Context, from *Referrers, subject digest.Digest, listed ispec.Descriptor) (*Attached, error) {
	a, err := from.Read(ctx, subject, listed)
	if err != nil {
		return nil, err
	}
	if err := p.carryBlobs(ctx, from, append([]ispec.Descriptor{a.Config}, a.Layers...)); err != nil {
		return a, err
	}
	ctx = p.scoped(ctx, "")
	what := fmt.Sprintf("attach %s to %s@%s", a.ArtifactType, p.to.Name(), subject)
	return a, p.complete(ctx, func() error {
		return p.repo.try(ctx, what, func(ctx context.Context) error {
			return p.putReferrer(ctx, ispec.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size}, a.Manifest)
		})
	})
}

// carryBlobs copies the blobs of an artifact, by mounting them if both repositories are in one registry.
func (p *Push) carryBlobs(ctx context.Context, from *Referrers, all []ispec.Descriptor) error {
	left := int64(maxCarriedBytes)
	for _, d := range all {
		if err := ocilayout.CheckDigest(d.Digest); err != nil {
			return err
		}
		if d.Size < 0 || d.Size > left {
			return fmt.Errorf("its contents have more than %d GiB", maxCarriedBytes>>30)
		}
		left -= d.Size
	}
	for _, d := range all {
		if d.Digest == emptyDescriptor().Digest {
			if err := p.putBytes(ctx, emptyDescriptor(), []byte(emptyConfig)); err != nil {
				return err
			}
			continue
		}
		d = ispec.Descriptor{MediaType: "application/octet-stream", Digest: d.Digest, Size: d.Size} // whatever it says, it is a blob
		err := p.putBlob(ctx, ocilayout.Blob{Descriptor: d, Reuse: &ocilayout.BlobSource{
			Descriptor: d, Repository: from.repo.at.Name(),
			Open: func(ctx context.Context) (io.ReadCloser, error) { return from.repo.open(ctx, d) },
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// carryTags copies cosign's tags for an image. A tag that leads to something else in the destination stays as it is.
func (p *Push) carryTags(ctx context.Context, from *Referrers, image digest.Digest) (all []Carried, err error) {
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		tag := referrersTag(image) + suffix
		d, err := p.carryTag(ctx, from, tag)
		switch {
		case passes(ctx, err):
			return all, err
		case d.Digest != "":
			all = append(all, Carried{Descriptor: d, Subject: image, Tag: tag, Err: err})
		}
	}
	return all, nil
}

// carryTag copies a tagged artifact. The descriptor is empty if the source has no such tag.
func (p *Push) carryTag(ctx context.Context, from *Referrers, tag string) (d ispec.Descriptor, err error) {
	at := from.repo.at
	at.Tag = tag
	d, b, err := from.repo.fetchManifest(ctx, at)
	if isMissing(err) {
		return ispec.Descriptor{}, nil
	}
	if err != nil {
		return d, err
	}
	contents, err := contentsOf(d, b)
	if err != nil {
		return d, fmt.Errorf("%s: %w", at, err)
	}
	to := p.to
	to.Tag = tag
	there, _, err := p.repo.fetchManifest(p.scoped(ctx, ""), to)
	switch {
	case err == nil && there.Digest == d.Digest:
		return d, nil
	case err == nil:
		return d, fmt.Errorf("%s leads to %s and not to %s", to, there.Digest, d.Digest)
	case !isMissing(err):
		return d, err
	}
	if err := p.carryBlobs(ctx, from, contents); err != nil {
		return d, err
	}
	return d, p.complete(p.scoped(ctx, ""), func() error { return p.tag(p.scoped(ctx, ""), d, b, tag) })
}

// contentsOf lists the blobs of an image manifest that is no artifact of its own.
func contentsOf(d ispec.Descriptor, b []byte) ([]ispec.Descriptor, error) {
	if d.MediaType != ispec.MediaTypeImageManifest && d.MediaType != ocilayout.DockerImageType {
		return nil, fmt.Errorf("it is of type %q", d.MediaType)
	}
	m, err := parseArtifact(b)
	if err != nil {
		return nil, err
	}
	if m.Config.Digest == "" {
		return nil, errors.New("it has no config")
	}
	return append([]ispec.Descriptor{m.Config}, m.Layers...), nil
}
