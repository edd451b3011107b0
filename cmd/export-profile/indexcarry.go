package main

import (
	"context"
	"errors"
	"slices"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/sbom"
)

// carrier takes along what the parts of an index have: to a registry as artifacts attached to them,
// to a layout or archive as files beside it. The digest of a part does not change, so what is about the part stays valid.
type carrier struct {
	say        *speaker
	registry   *registryFlags
	push       *registry.Push      // to the destination, or nil if it is a file
	repository *registry.Reference // the destination, or nil
	at         place               // the destination

	results []carriedResult
	beside  besideFiles // to write
	stays   int         // artifacts that have no place beside a file
}

// carriedResult is a document or artifact that came along with a part.
type carriedResult struct {
	Subject      string `json:"subject"` // the digest of the part, or of the artifact that this one is attached to
	ArtifactType string `json:"artifactType,omitempty"`
	Digest       string `json:"digest,omitempty"` // of the artifact's manifest, in a registry
	Tag          string `json:"tag,omitempty"`    // of cosign, in a registry
	File         string `json:"file,omitempty"`   // beside a layout or archive
}

// carriedDocument is an SBOM or an attestation of a part.
type carriedDocument struct {
	mediaType string
	content   []byte
	origin    string // for people
}

// carry takes along what all parts have, in the order of the index.
// In a registry everything is attached before a tag leads to the index; files are pending until publish.
func (c *carrier) carry(ctx context.Context, out *imageWriter, index ocilayout.IndexResult, names []imageName, sources []*ocilayout.ImageSource) error {
	parts, err := c.withSame(ctx, out, index, sources)
	if err != nil {
		return err
	}
	files := make([]*sourceFiles, len(names))
	for _, part := range parts {
		for _, i := range part.Sources {
			if names[i].transport.remote {
				if err := c.fromRegistry(ctx, part.Descriptor, names[i].ref); err != nil {
					return err
				}
				continue
			}
			if files[i] == nil {
				files[i] = filesBeside(c.say, names[i], sources[i].Tags)
			}
			for _, d := range files[i].about(part.Descriptor) {
				if err := c.fromFile(ctx, part.Descriptor, sources[i], d); err != nil {
					return err
				}
			}
		}
	}
	for _, f := range files {
		f.noteStale(c.say)
	}
	if c.stays > 0 {
		c.say.notef("%s of the images, such as signatures, have no place beside a layout or archive, and do not come along; --debug lists them", count(c.stays, "artifact"))
	}
	if n := len(c.results); n > 0 {
		c.say.notef("%s of the images came along, such as SBOMs and attestations; --json lists them", count(n, "document"))
	}
	return c.beside.write()
}

// withSame returns the parts of an index, and the index itself if a source is the same index: then what is about that one is about
// this one. A registry gets the index without a tag first, since some accept artifacts only for what they have.
func (c *carrier) withSame(ctx context.Context, out *imageWriter, index ocilayout.IndexResult, sources []*ocilayout.ImageSource) ([]ocilayout.IndexPart, error) {
	same := ocilayout.IndexPart{Descriptor: index.Descriptor}
	for i, s := range sources {
		if s.Descriptor.Digest == index.Descriptor.Digest {
			same.Sources = append(same.Sources, i)
		}
	}
	if same.Sources == nil {
		return index.Parts, nil
	}
	if c.push != nil {
		manifest, err := out.Manifest(index.Descriptor)
		if err != nil {
			return nil, err
		}
		if err := c.push.Untagged(ctx, index.Descriptor, manifest); err != nil {
			return nil, err
		}
	}
	return append(slices.Clone(index.Parts), same), nil
}

// fromRegistry takes along what is attached to a part in a registry.
// If the source or the destination refuses something, a note says so: the source still has it.
func (c *carrier) fromRegistry(ctx context.Context, part ispec.Descriptor, from registry.Reference) error {
	if c.repository != nil && c.repository.Name() == from.Name() {
		return nil
	}
	client, err := c.registry.client(c.say)
	if err != nil {
		return err
	}
	referrers, err := client.Referrers(ctx, from)
	if err != nil {
		return err
	}
	if c.push == nil {
		err = c.readAttached(ctx, referrers, part)
	} else {
		var all []registry.Carried
		all, err = c.push.Carry(ctx, referrers, part.Digest)
		for _, a := range all {
			if a.Err != nil {
				c.say.notef("%s of %s stays in %s: %v", a.Digest, part.Digest, from.Name(), a.Err)
				continue
			}
			c.results = append(c.results, carriedResult{a.Subject.String(), a.ArtifactType, a.Digest.String(), a.Tag, ""})
		}
	}
	if lasting(ctx, err) {
		c.say.notef("what is attached to %s in %s does not come along: %v", part.Digest, from.Name(), err)
		return nil
	}
	return err
}

// lasting reports whether an error of reading from a registry will not pass.
func lasting(ctx context.Context, err error) bool {
	var answer *registry.Error
	return err != nil && context.Cause(ctx) == nil && (refused(err) || !errors.As(err, &answer))
}

// readAttached reads the SBOMs and attestations of a part in a registry, to be written beside the destination.
func (c *carrier) readAttached(ctx context.Context, from *registry.Referrers, part ispec.Descriptor) error {
	listed, err := from.List(ctx, part.Digest)
	if err != nil {
		return err
	}
	for i, d := range listed {
		if i == mostAttached {
			c.say.notef("only the first %d of %d artifacts attached to %s were read", i, len(listed), part.Digest)
			break
		}
		a, err := from.Read(ctx, part.Digest, d)
		if err == nil && !carriedBeside(a.ArtifactType) {
			c.say.debugf("%s of %s stays behind: %q", a.Digest, part.Digest, a.ArtifactType)
			c.stays++
			continue
		}
		var content []byte
		if err == nil {
			content, err = from.Content(ctx, a)
		}
		switch {
		case lasting(ctx, err):
			c.say.notef("%s of %s does not come along: %v", d.Digest, part.Digest, err)
		case err != nil:
			return err
		default:
			c.addBeside(part, carriedDocument{a.ArtifactType, content, a.Digest.String()})
		}
	}
	return nil
}

// carriedBeside reports whether documents of a type have a place beside a layout or archive.
func carriedBeside(mediaType string) bool {
	return mediaType == sbom.SPDX.MediaType() || mediaType == sbom.CycloneDX.MediaType() || attestation.IsMediaType(mediaType)
}

// addBeside adds a document to the files beside the destination.
func (c *carrier) addBeside(part ispec.Descriptor, d carriedDocument) {
	file, err := c.beside.add(c.at, part, d)
	if err != nil {
		c.say.notef("%s of %s does not come along: %v", d.origin, part.Digest, err)
		return
	}
	c.results = append(c.results, carriedResult{Subject: part.Digest.String(), ArtifactType: d.mediaType, File: file})
}

// fromFile takes along a document that lies beside a layout or archive.
func (c *carrier) fromFile(ctx context.Context, part ispec.Descriptor, source *ocilayout.ImageSource, d carriedDocument) error {
	if c.push == nil {
		c.addBeside(part, d)
		return nil
	}
	var created *time.Time
	if part.MediaType == ispec.MediaTypeImageManifest {
		read, err := source.Part(part).Read(ctx, ispec.Platform{})
		if err != nil {
			return err
		}
		created = read.Config.Created
	}
	attached, err := c.push.Attach(ctx, source.Part(part).Descriptor, d.attachment(created))
	switch {
	case refused(err):
		c.say.notef("the document is only in %q: %v", d.origin, err)
		return nil
	case err != nil:
		return err
	}
	c.results = append(c.results, carriedResult{Subject: part.Digest.String(), ArtifactType: d.mediaType, Digest: attached.Digest.String()})
	return nil
}

// attachment returns the document as an artifact of an image, as image attaches it.
func (d *carriedDocument) attachment(created *time.Time) registry.Attachment {
	of := document{mediaType: d.mediaType, content: d.content}
	if s, err := peek(d.content); err == nil && attestation.IsMediaType(d.mediaType) {
		of.annotations = bundleAnnotations(s.PredicateType)
	}
	var at time.Time
	if created != nil {
		at = *created
	}
	return of.attachment(at)
}

func (c *carrier) publish() error { return c.beside.publish() }

func (c *carrier) remove() { c.beside.remove(c.say) }
