package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
)

// metadataFlags name the files with what a store does not know of its packages.
type metadataFlags struct{ metadataFiles []string }

func (f *metadataFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.metadataFiles, "metadata", nil, "take licences, CPEs, sources and suppliers of packages for SBOMs and report from `FILE`, in JSON; repeatable: later files override earlier ones")
}

// read parses the files.
func (f *metadataFlags) read() (m sbom.Metadata, err error) {
	for _, name := range f.metadataFiles {
		file, err := readMetadata(name)
		if err != nil {
			return nil, inChapter("sboms", withHint(fmt.Errorf("read metadata %q: %w", name, err),
				"profile/sbom/metadata.nix writes such a file from nixpkgs, and profile/sbom/metadata.schema.json describes it"))
		}
		m = append(m, file)
	}
	return m, nil
}

func readMetadata(name string) (sbom.MetadataFile, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, sbom.MaxMetadata+1))
	if err != nil {
		return nil, err
	}
	return sbom.ParseMetadata(b)
}

// noteUnmatched notes how many entries are about packages that a closure lacks: one file serves many images, but keys can be misspelt.
func noteUnmatched(m sbom.Metadata, c *profile.Closure, say *speaker) {
	total := 0
	for _, file := range m {
		total += len(file)
	}
	if n := m.Unmatched(c); n > 0 {
		say.notef("%d of the %d packages of --metadata are not in the closure", n, total)
	}
}

// sbomInImage holds the value of --sbom-in-image.
type sbomInImage struct{ word string }

func (f *sbomInImage) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.word, "sbom-in-image", "", "`spdx|cyclonedx` also put an SBOM of the store paths into the image, below /"+sbom.InImageDir)
}

// format returns the format, or "" without the flag.
func (f *sbomInImage) format() (sbom.Format, error) {
	if f.word == "" {
		return "", nil
	}
	format, err := sbom.ParseFormat(f.word)
	if err != nil {
		return "", usagef("as in --sbom-in-image spdx", "--sbom-in-image: %v", err)
	}
	return format, nil
}

// addSBOM adds an SBOM of the closure to the base files.
func addSBOM(files *base.Files, lower *rootfs.Lower, closure *profile.Closure, f sbom.Format, m sbom.Metadata) error {
	var b bytes.Buffer
	if err := f.Write(&b, closure, sbom.Image{Inside: true}, m); err != nil {
		return err
	}
	if err := files.AddFile(lower, f.InImage(closure), b.Bytes()); err != nil {
		return fmt.Errorf("--sbom-in-image: %w", err)
	}
	return nil
}
