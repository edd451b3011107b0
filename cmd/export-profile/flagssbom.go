package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/sbom"
)

// sbomFlags say which documents are made of an image.
type sbomFlags struct{ words []string }

func (f *sbomFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.words, "sbom", nil, "also write an SBOM, `FORMAT[:FILE]`, with spdx or cyclonedx: "+
		"beside the image, as DIR-TAG.spdx.json or ARCHIVE.cdx.json; in a registry, attached to the image; repeatable")
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
