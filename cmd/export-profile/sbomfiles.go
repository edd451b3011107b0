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
		all = append(all, &sbomFile{word: word, format: format, file: file})
	}
	return all, nil
}

// ofTag returns the part of a file name for a tag, since a layout can have an SBOM for each of its tags.
func ofTag(tag string) string {
	if tag == "latest" {
		return ""
	}
	return "-" + tag
}

// sbomFile is an SBOM that image makes.
type sbomFile struct {
	word    string
	format  sbom.Format
	file    string // "" if it is only attached in a registry
	content []byte
	pending *pendingFile
}

// writeSBOMs makes the SBOMs of an image whose blobs are written, as pending files.
func writeSBOMs(sboms []*sbomFile, closure *profile.Closure, under *baseImage, image ocilayout.ImageSpec, desc ispec.Descriptor, manifest []byte) error {
	if len(sboms) == 0 {
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
	for _, b := range sboms {
		var text bytes.Buffer
		if err := b.format.Write(&text, closure, of); err != nil {
			return err
		}
		b.content = text.Bytes()
		var err error
		if b.pending, err = newPendingFile(b.file, text.String()); err != nil {
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

func removeSBOMs(say *speaker, sboms []*sbomFile) {
	for _, b := range sboms {
		b.pending.remove(say)
	}
}

func publishSBOMs(sboms []*sbomFile) error {
	for _, b := range sboms {
		if err := b.pending.publish(); err != nil {
			return err
		}
	}
	return nil
}
