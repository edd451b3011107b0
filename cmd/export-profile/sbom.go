package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
)

const sbomHelp = `examples:
  export-profile sbom > hello.spdx.json
  export-profile sbom --profile ./result --format cyclonedx --output hello.cdx.json
  export-profile sbom --from oci:hello:v1 > hello.spdx.json
  export-profile sbom --from docker://registry.example.com/team/hello:v1 --format cyclonedx

Says what a profile, or a finished image, consists of: an SPDX 2.3 or CycloneDX 1.6 document in JSON,
with every store path, its name and version, its NAR hash, what it refers to, and the layer that it is in.
Nothing is guessed, and the same closure gives the same document.
image --sbom makes the same document while it makes the image, and attaches it in a registry.
`

type sbomOptions struct {
	selection
	imageFlags
	saying
	format, output string
}

func setupSBOM(fs *pflag.FlagSet) runFunc {
	o := &sbomOptions{}
	o.selection.flags(fs)
	o.selection.cacheFlags.flags(fs)
	o.selection.images = &o.imageFlags
	fs.StringVar(&o.format, "format", "spdx", "write a document of the format `spdx|cyclonedx`")
	fs.StringVar(&o.output, "output", "", "write it to `FILE`, or - for standard output (default)")
	o.imageFlags.flags(fs)
	o.saying.noiseFlags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := noOperands("sbom", args); err != nil {
			return err
		}
		return o.run(ctx, t)
	}
}

func (o *sbomOptions) run(ctx context.Context, t terminal) (err error) {
	say := o.speaker(t)
	defer say.close()
	format, err := sbom.ParseFormat(o.format)
	if err != nil {
		return usagef("as in --format cyclonedx", "--format: %v", err)
	}
	closure, store, err := o.find(ctx, t, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var of sbom.Image
	if s, ok := store.(*imageStore); ok {
		of = sbom.Image{Digest: s.image.Digest.String(), Layers: s.layers()}
		if created := s.image.Config.Created; created != nil {
			of.Created = *created
		}
	}
	var b bytes.Buffer
	if err := format.Write(&b, closure, of); err != nil {
		return err
	}
	if o.output == "" || o.output == standardName {
		_, err := t.out.Write(b.Bytes())
		return err
	}
	out, err := newPending(o.output, b.String())
	if err != nil {
		return err
	}
	defer out.remove()
	return out.publish()
}

// sbomFlags say which documents are made of an image.
type sbomFlags struct{ words []string }

func (f *sbomFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.words, "sbom", nil, "also write what is in the image, `FORMAT[:FILE]`, with spdx or cyclonedx: "+
		"beside it, as DIR-TAG.spdx.json or ARCHIVE.cdx.json, and attached to it in a registry; repeatable")
}

// document is an SBOM that is wanted.
type document struct {
	word    string
	format  sbom.Format
	file    string // "" if it is only attached
	content []byte
	pending *pending
}

const sbomExample = "as in --sbom spdx or --sbom cyclonedx:hello.cdx.json"

// documents are those that the flags want of an image in some place.
func (f *sbomFlags) documents(d destination) ([]*document, error) {
	var all []*document
	for _, word := range f.words {
		name, file, named := strings.Cut(word, ":")
		format, err := sbom.ParseFormat(name)
		if err != nil {
			return nil, usagef(sbomExample, "--sbom: %v", err)
		}
		if named && file == "" {
			return nil, usagef(sbomExample, "--sbom %q: no file", word)
		}
		if !named {
			switch at := d.place(); {
			case at.Layout != "":
				file = strings.TrimRight(at.Layout, "/") + ofTag(at.Tags[0]) + format.Extension()
			case at.Archive == standardName:
				return nil, usagef(sbomExample, "--sbom %q: the image goes to standard output; name a file", word)
			case at.Archive != "":
				file = at.Archive + format.Extension()
			}
		}
		all = append(all, &document{word: word, format: format, file: file})
	}
	return all, nil
}

// ofTag is what a file's name says of an image's tag: a layout has images of several tags, each with a document.
func ofTag(tag string) string {
	if tag == "latest" {
		return ""
	}
	return "-" + tag
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
