package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/sbom"
)

// ofPlatform returns the part of a file name for a platform: "" for an index, which has none.
func ofPlatform(p *ispec.Platform) string {
	if p == nil {
		return ""
	}
	name := "-" + p.OS + "-" + p.Architecture
	if p.Variant != "" {
		name += "-" + p.Variant
	}
	return strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' {
			return '_'
		}
		return r
	}, name)
}

// besideFiles collects the files to write beside a layout or archive.
type besideFiles struct {
	names    []string // in order
	contents map[string][]byte
	size     int
	pending  []*pendingFile
}

// mostCarried limits the bytes of all files together.
const mostCarried = 256 << 20

// add adds a document: an SBOM as a file for the platform, an attestation as a line of one file.
func (f *besideFiles) add(at place, part ispec.Descriptor, d carriedDocument) (file string, err error) {
	name := besideName(at)
	if name == "" {
		return "", errors.New("the image goes to standard output, and there is nothing beside it")
	}
	content := d.content
	switch d.mediaType {
	case sbom.SPDX.MediaType():
		file = name + ofPlatform(part.Platform) + sbom.SPDX.Extension()
	case sbom.CycloneDX.MediaType():
		file = name + ofPlatform(part.Platform) + sbom.CycloneDX.Extension()
	default:
		file = name + attestation.Extension
		var line bytes.Buffer
		if err := json.Compact(&line, content); err != nil {
			return "", err
		}
		content = append(line.Bytes(), '\n')
	}
	return file, f.put(file, content)
}

// put adds the content of a file. More content for a file of attestations is more lines.
func (f *besideFiles) put(file string, content []byte) error {
	had, ok := f.contents[file]
	switch lines := strings.HasSuffix(file, attestation.Extension); {
	case ok && (bytes.Equal(had, content) || lines && bytes.Contains(append([]byte("\n"), had...), append([]byte("\n"), content...))):
		return nil
	case ok && !lines:
		return fmt.Errorf("there is another one for %q", file)
	case f.size+len(content) > mostCarried:
		return fmt.Errorf("all documents together have more than %d MiB", mostCarried>>20)
	}
	if f.contents == nil {
		f.contents = make(map[string][]byte)
	}
	if !ok {
		f.names = append(f.names, file)
	}
	f.contents[file] = append(had, content...)
	f.size += len(content)
	return nil
}

// write writes the files as pending ones.
func (f *besideFiles) write() error {
	for _, name := range f.names {
		p, err := newPendingFile(name, string(f.contents[name]))
		if err != nil {
			return err
		}
		f.pending = append(f.pending, p)
	}
	return nil
}

func (f *besideFiles) publish() error {
	for _, p := range f.pending {
		if err := p.publish(); err != nil {
			return err
		}
	}
	return nil
}

func (f *besideFiles) remove(say *speaker) {
	for _, p := range f.pending {
		p.remove(say)
	}
}
