package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
)

// bom is one SBOM that image makes.
type bom struct {
	word    string
	format  sbom.Format
	file    string // "" if it is only attached in a registry
	content []byte
	pending *pending
}

// writeBOMs makes the SBOMs of an image whose blobs are written, as pending files.
func writeBOMs(boms []*bom, closure *profile.Closure, under *baseImage, image ocilayout.ImageSpec, desc ispec.Descriptor, manifest []byte) error {
	if len(boms) == 0 {
		return nil
	}
	var m ispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	of := sbom.Image{Digest: desc.Digest.String(), Created: image.Created, Layers: make(map[profile.Path]string)}
	for _, h := range under.objects() {
		of.Layers[profile.Path(profile.StoreDir+"/"+h.Name)] = m.Layers[h.Layer].Digest.String()
	}
	below := len(m.Layers) - len(image.Layers) // the number of the base image's layers
	for i, l := range image.Layers {
		for _, p := range l.Parts {
			if p.Root != "" {
				of.Layers[profile.Path("/"+p.Root)] = m.Layers[below+i].Digest.String()
			}
		}
	}
	for _, b := range boms {
		var text bytes.Buffer
		if err := b.format.Write(&text, closure, of); err != nil {
			return err
		}
		b.content = text.Bytes()
		var err error
		if b.pending, err = newPending(b.file, text.String()); err != nil {
			return err
		}
	}
	return nil
}

func bomFiles(boms []*bom) (files []string) {
	for _, b := range boms {
		if b.file != "" {
			files = append(files, b.file)
		}
	}
	return files
}

func removeBOMs(boms []*bom) {
	for _, b := range boms {
		b.pending.remove()
	}
}

func publishBOMs(boms []*bom) error {
	for _, b := range boms {
		if err := b.pending.publish(); err != nil {
			return err
		}
	}
	return nil
}

// attachBOMs attaches the SBOMs to an image in a registry, before the image becomes visible there.
func attachBOMs(ctx context.Context, push *registry.Push, image ispec.Descriptor, created time.Time, boms []*bom) error {
	if created.IsZero() {
		created = time.Unix(1, 0)
	}
	for _, b := range boms {
		_, err := push.Attach(ctx, image, registry.Attachment{
			MediaType: b.format.MediaType(), Content: b.content,
			Annotations: map[string]string{ispec.AnnotationCreated: created.UTC().Format(time.RFC3339)},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
