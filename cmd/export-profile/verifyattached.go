package main

import (
	"context"
	"slices"

	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/sbom"
)

// attachedResult is an artifact that is attached to an image or an index in a registry. Nothing in it has been verified.
type attachedResult struct {
	Subject      string `json:"subject"` // the digest of the image or index
	Digest       string `json:"digest"`  // of the artifact's manifest
	ArtifactType string `json:"artifactType"`
	Size         int64  `json:"size,omitempty"` // of the contents
	// What an attestation says itself, if it is one.
	PredicateType string `json:"predicateType,omitempty"`
	KeyHint       string `json:"keyHint,omitempty"`

	Annotations map[string]string `json:"annotations,omitempty"`
	Problem     string            `json:"problem,omitempty"` // why the artifact cannot be read
}

// mostAttached limits the artifacts of an image or index that are read for the list. Of the others it has what the registry lists.
const mostAttached = 100

// Limits of the attestations of an image or index that are read to find out whose key they name.
const (
	mostPeeked      = 20
	mostPeekedBytes = 16 << 20
)

// listAttached lists what is attached to an image in a registry and to its parts. It returns nil for other images,
// and if the registry does not list it: then a note says why.
func listAttached(ctx context.Context, say *speaker, o *imageOpener, n imageName, r *verify.Report) []attachedResult {
	if !n.transport.remote {
		return nil
	}
	all, err := o.attached(ctx, n.ref, r)
	if err != nil {
		if context.Cause(ctx) == nil {
			say.notef("it is unknown what is attached to the image: %v", err)
		}
		return nil
	}
	return all
}

func (o *imageOpener) attached(ctx context.Context, at registry.Reference, r *verify.Report) ([]attachedResult, error) {
	client, err := o.registry.client(o.say)
	if err != nil {
		return nil, err
	}
	referrers, err := client.Referrers(ctx, at)
	if err != nil {
		return nil, err
	}
	subjects := slices.Clone(r.Indexes)
	for _, i := range r.Images {
		subjects = append(subjects, i.Digest)
	}
	all := []attachedResult{}
	for _, subject := range subjects {
		listed, err := referrers.List(ctx, subject)
		if err != nil {
			return nil, err
		}
		peeked := 0
		for i, d := range listed {
			// The list may have another type than the artifact's manifest, and no annotations.
			result := attachedResult{Subject: subject.String(), Digest: d.Digest.String(), ArtifactType: d.ArtifactType, Annotations: d.Annotations}
			if i < mostAttached {
				a, err := referrers.Read(ctx, subject, d)
				if err := context.Cause(ctx); err != nil {
					return nil, err
				}
				result.read(a, err)
				if attestation.IsMediaType(result.ArtifactType) && result.Size <= mostPeekedBytes && err == nil && peeked < mostPeeked {
					peeked++
					content, err := referrers.Content(ctx, a)
					result.peek(content, err)
				}
			}
			all = append(all, result)
		}
	}
	return all, nil
}

// read fills in what the artifact's manifest says, or why it cannot be read.
func (a *attachedResult) read(from *registry.Attached, err error) {
	if err != nil {
		a.Problem = err.Error()
		return
	}
	a.ArtifactType, a.Annotations = from.ArtifactType, from.Annotations
	for _, l := range from.Layers {
		if l.Size > 0 && a.Size+l.Size > a.Size {
			a.Size += l.Size
		}
	}
}

// peek fills in what an attestation says itself.
func (a *attachedResult) peek(content []byte, err error) {
	var s attestation.Summary
	if err == nil {
		s, err = peek(content)
	}
	if err != nil {
		a.Problem = err.Error()
		return
	}
	a.PredicateType, a.KeyHint = s.PredicateType, s.KeyHint
}

// noteAttached notes what is attached to an image. Types are quoted: the registry may send anything.
// Statements, unless nil, know which attestations a given key has signed.
func noteAttached(say *speaker, all []attachedResult, statements *statementVerifier) {
	for i, a := range all {
		switch {
		case i == mostAttached:
			say.notef("and %d more; --json lists all", len(all)-i)
			return
		case a.Problem != "":
			say.notef("attached to %s: %s, which cannot be read: %s", a.Subject, a.Digest, a.Problem)
		case statements.signer(a.Digest) != "":
			say.notef("attached to %s: %s %q of %s, signed by %s, %s", a.Subject, a.kind(), a.ArtifactType, humanBytes(a.Size), statements.signer(a.Digest), a.Digest)
		case a.KeyHint != "":
			say.notef("attached to %s: %s %q of %s, which names key %q and is not verified, %s",
				a.Subject, a.kind(), a.ArtifactType, humanBytes(a.Size), a.KeyHint, a.Digest)
		default:
			say.notef("attached to %s: %s %q of %s, %s", a.Subject, a.kind(), a.ArtifactType, humanBytes(a.Size), a.Digest)
		}
	}
}

// kind names an artifact for people.
func (a attachedResult) kind() string {
	switch a.ArtifactType {
	case sbom.SPDX.MediaType(), sbom.CycloneDX.MediaType():
		return "SBOM"
	}
	if attestation.IsMediaType(a.ArtifactType) {
		return "attestation"
	}
	return "artifact"
}
