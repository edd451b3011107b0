package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/sbom"
)

// sbomFlags list the SBOMs that image makes.
type sbomFlags struct{ words []string }

func (f *sbomFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.words, "sbom", nil, "also write an SBOM, `FORMAT[:FILE]`, with spdx or cyclonedx: "+
		"beside the image, as DIR-TAG.spdx.json or ARCHIVE.cdx.json; in a registry, attached to the image; repeatable")
}

const sbomExample = "as in --sbom spdx or --sbom cyclonedx:hello.cdx.json"

// boms returns the SBOMs that the flags ask for, with files named after the destination.
func (f *sbomFlags) boms(d destination) ([]*bom, error) {
	var all []*bom
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
		all = append(all, &bom{word: word, format: format, file: file})
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
