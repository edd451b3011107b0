package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
)

// sbomFlags list the SBOMs that image makes.
type sbomFlags struct{ words []string }

func (f *sbomFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.words, "sbom", nil, "`FORMAT[:FILE]` also write an SBOM, as spdx or cyclonedx: "+
		"beside the image, as DIR-TAG.spdx.json or ARCHIVE.cdx.json; in a registry, attached to the image, and with FILE also written there; repeatable")
}

const sbomExample = "as in --sbom spdx or --sbom cyclonedx:hello.cdx.json"

// files returns the SBOMs that the flags ask for. Those without a name of their own are named after the destination.
func (f *sbomFlags) files(d destination) ([]*sbomFile, error) {
	var all []*sbomFile
	for _, word := range f.words {
		name, file, named := strings.Cut(word, ":")
		format, err := sbom.ParseFormat(name)
		if err != nil {
			return nil, usagef(sbomExample, "--sbom: %v", err)
		}
		if named && file == "" {
			return nil, usagef(sbomExample, "--sbom %q: no file", word)
		}
		b := &sbomFile{format: format, document: document{
			kind: "SBOM", flag: "--sbom " + word, toFile: "--sbom " + name + ":", extension: format.Extension(), mediaType: format.MediaType(), file: file,
		}}
		if !named && !b.beside(d.place()) {
			return nil, usagef(sbomExample, "--sbom %q: the image goes to standard output; name a file", word)
		}
		all = append(all, b)
	}
	return all, nil
}

// sbomFile is an SBOM that image makes.
type sbomFile struct {
	document
	format sbom.Format
}

// writeSBOMs makes the SBOMs of an image whose blobs are written, as pending files.
func writeSBOMs(sboms []*sbomFile, a *assembly, image ocilayout.ImageSpec, desc ispec.Descriptor, manifest []byte) error {
	if len(sboms) == 0 {
		return nil
	}
	var m ispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	of := sbom.Image{Digest: desc.Digest.String(), Created: image.Created, Layers: make(map[profile.Path]string)}
	for _, h := range a.baseImage.objects() {
		of.Layers[profile.Path(a.closure.StoreDir.String()+"/"+h.Name)] = m.Layers[h.Layer].Digest.String()
	}
	below := len(m.Layers) - len(image.Layers) // the number of the base image's layers
	for i, l := range image.Layers {
		for _, p := range l.Parts {
			if p.Root != "" {
				of.Layers[profile.Path("/"+p.Root)] = m.Layers[below+i].Digest.String()
			}
		}
	}
	for _, b := range sboms {
		var text bytes.Buffer
		if err := b.format.Write(&text, a.closure, of, a.metadata); err != nil {
			return err
		}
		if err := b.write(text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func sbomFileNames(sboms []*sbomFile) (files []string) {
	for _, b := range sboms {
		if b.file != "" {
			files = append(files, b.file)
		}
	}
	return files
}
