package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/attestation"
)

// signer reads the key of --attest. It returns nil without that flag.
func (o *indexOptions) signer(t terminal, at place, images []imageName) (*attestationFile, error) {
	var others []reader
	for _, n := range images {
		others = append(others, reader{n.word, n.path == standardName})
	}
	key, err := o.key(t.in, others...)
	if err != nil {
		return nil, err
	}
	return o.attestFlags.open(key, at)
}

// signIndex states which images an index has whose blobs are written, and signs the statement.
// In a file it is a line beside those that come along with the images, since their attestations are theirs.
func (a *attestationFile) signIndex(out *imageWriter, index ispec.Descriptor, parameters map[string]any, c *carrier) error {
	if a == nil {
		return nil
	}
	manifest, err := out.Manifest(index)
	if err != nil {
		return err
	}
	var parsed ispec.Index
	if err := json.Unmarshal(manifest, &parsed); err != nil {
		return fmt.Errorf("attest index: %w", err)
	}
	s := indexStatement(index, parsed.Manifests)
	s.Parameters = parameters
	bundles, err := signAll(a.key, []*attestation.Statement{s})
	if err != nil {
		return fmt.Errorf("attest index: %w", err)
	}
	a.content = bundles[0]
	file := a.file
	if usual := besideName(c.at) + attestation.Extension; file != "" && realName(file) == realName(usual) {
		file = usual // however it is spelt
	}
	if file == "" {
		return nil
	}
	return c.beside.put(file, lines(bundles))
}

// attachIndex attaches the attestation to an index in a registry, before a tag leads there.
func (a *attestationFile) attachIndex(ctx context.Context, out *imageWriter, index ispec.Descriptor) error {
	if a == nil || out.attach == nil {
		return nil
	}
	return out.attach(ctx, index, time.Time{}, a.documents())
}

// indexParameters returns the flags that shaped an index. Its parts are dependencies.
func indexParameters(fs *pflag.FlagSet) map[string]any {
	const shaping = "annotation"
	if f := fs.Lookup(shaping); f.Changed {
		return map[string]any{shaping: parameter(f)}
	}
	return nil
}
