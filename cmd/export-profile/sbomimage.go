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

// document is an SBOM that is wanted.
type document struct {
	word    string
	format  sbom.Format
	file    string // "" if it is only attached
	content []byte
	pending *pending
}

// writeDocuments makes the documents of an image that has been built, and files that are not visible yet.
func writeDocuments(docs []*document, closure *profile.Closure, under *baseImage, image ocilayout.ImageSpec, desc ispec.Descriptor, manifest []byte) error {
	if len(docs) == 0 {
		return nil
	}
	var m ispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	of := sbom.Image{Digest: desc.Digest.String(), Created: image.Created, Layers: make(map[profile.Path]string)}
	for _, h := range under.held() {
		of.Layers[profile.Path(profile.StoreDir+"/"+h.Name)] = m.Layers[h.Layer].Digest.String()
	}
	below := len(m.Layers) - len(image.Layers) // those of a base image
	for i, l := range image.Layers {
		for _, p := range l.Parts {
			if p.Root != "" {
				of.Layers[profile.Path("/"+p.Root)] = m.Layers[below+i].Digest.String()
			}
		}
	}
	for _, d := range docs {
		var b bytes.Buffer
		if err := d.format.Write(&b, closure, of); err != nil {
			return err
		}
		d.content = b.Bytes()
		var err error
		if d.pending, err = newPending(d.file, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func documentFiles(docs []*document) (files []string) {
	for _, d := range docs {
		if d.file != "" {
			files = append(files, d.file)
		}
	}
	return files
}

func removeDocuments(docs []*document) {
	for _, d := range docs {
		d.pending.remove()
	}
}

func publishDocuments(docs []*document) error {
	for _, d := range docs {
		if err := d.pending.publish(); err != nil {
			return err
		}
	}
	return nil
}

// attachDocuments puts documents into the registry that an image is about to be visible in.
func attachDocuments(ctx context.Context, push *registry.Push, image ispec.Descriptor, created time.Time, docs []*document) error {
	if created.IsZero() {
		created = time.Unix(1, 0)
	}
	for _, d := range docs {
		_, err := push.Attach(ctx, image, registry.Attachment{
			MediaType: d.format.MediaType(), Content: d.content,
			Annotations: map[string]string{ispec.AnnotationCreated: created.UTC().Format(time.RFC3339)},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
