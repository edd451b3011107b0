package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/attestation"
)

// signer reads the key of --attest. It returns nil without that flag.
func (o *imageOptions) signer(t terminal, at place) (*attestationFile, error) {
	key, err := o.key(t.in,
		reader{"--file -", o.imageFile.file == standardName},
		reader{"--from -", slices.Contains(o.from, standardName)},
		reader{"--add -", slices.ContainsFunc(o.changes, func(c change) bool { return c.kind == "add" && strings.HasPrefix(c.word, standardName+":") })})
	if err != nil {
		return nil, err
	}
	return o.attestFlags.open(key, at)
}

// filesName stands for a profile in statements about images of added files alone.
const filesName = "files"

// name returns the name of the first profile, or filesName without one.
func (a *assembly) name() string {
	if len(a.closure.Roots) == 0 {
		return filesName
	}
	return a.closure.Roots[0].Name()
}

// attest states what an image consists of whose blobs are written, and signs the statement, as a pending file.
func (o *imageOptions) attest(ctx context.Context, say *speaker, r request, a *assembly, image ispec.Descriptor) error {
	if r.attestation == nil {
		return nil
	}
	s := &attestation.Statement{
		Kind:       attestation.OfBuild,
		Name:       a.name(),
		Subject:    image.Digest.String(),
		Parameters: r.parameters,
		Finished:   r.image.Created,
	}
	if b := a.baseImage; b != nil {
		s.Base, s.BaseType = b.image.Manifest.Digest.String(), b.image.Manifest.MediaType
	}
	var err error
	if s.Paths, err = a.visiblePaths(ctx, say, o.facts()); err != nil {
		return fmt.Errorf("attest image: %w", err)
	}
	if err := r.attestation.sign(s); err != nil {
		return fmt.Errorf("attest image: %w", err)
	}
	return nil
}
