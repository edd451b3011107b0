package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/sbom"
)

// mostBeside limits the bytes of a file beside an image that is read.
const mostBeside = 96 << 20

// sourceFiles lists the documents that lie beside a layout or archive.
type sourceFiles struct {
	names []string // without extension
	say   *speaker
	read  map[string][]carriedDocument // by file name
	used  map[string]bool              // files that are about a part
	order []string                     // of the files that exist
}

// filesBeside looks for the files of an image in a layout or archive.
func filesBeside(say *speaker, n imageName, tags []string) *sourceFiles {
	if n.tag != "" && !strings.Contains(n.tag, ":") {
		tags = append([]string{n.tag}, tags...)
	}
	return &sourceFiles{names: besideNames(n, tags), say: say, read: make(map[string][]carriedDocument), used: make(map[string]bool)}
}

// about returns the documents that are about a part.
func (f *sourceFiles) about(part ispec.Descriptor) (all []carriedDocument) {
	for _, name := range f.names {
		for _, base := range slices.Compact([]string{name, name + ofPlatform(part.Platform)}) {
			for _, format := range []sbom.Format{sbom.SPDX, sbom.CycloneDX} {
				file := base + format.Extension()
				for _, d := range f.documents(file, func(b []byte) []carriedDocument { return []carriedDocument{{format.MediaType(), b, file}} }) {
					if format.IsAbout(d.content, part.Digest.String()) {
						all, f.used[file] = append(all, d), true
					}
				}
			}
		}
		file := name + attestation.Extension
		for _, d := range f.documents(file, func(b []byte) []carriedDocument { return f.statements(file, b) }) {
			if s, err := peek(d.content); err == nil && slices.Contains(s.Subjects, part.Digest.String()) {
				all, f.used[file] = append(all, d), true
			}
		}
	}
	return all
}

// documents reads a file once.
func (f *sourceFiles) documents(file string, parse func([]byte) []carriedDocument) []carriedDocument {
	all, ok := f.read[file]
	if ok {
		return all
	}
	b, err := readBeside(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		f.say.notef("%q does not come along: %v", file, err)
	default:
		all, f.order = parse(b), append(f.order, file)
	}
	f.read[file] = all
	return all
}

// openBeside opens a regular file. The user did not name it, so it does not wait for the writer of a named pipe in its place.
func openBeside(file string) (*os.File, error) {
	in, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := in.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: file, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

// readBeside reads a regular file of at most 96 MiB.
func readBeside(file string) ([]byte, error) {
	in, err := openBeside(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, mostBeside+1))
	if err == nil && len(b) > mostBeside {
		err = fmt.Errorf("it has more than %d MiB", mostBeside>>20)
	}
	return b, err
}

// statements returns the lines of a file that are attestations.
func (f *sourceFiles) statements(file string, b []byte) (all []carriedDocument) {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if len(all) == mostAttached {
			f.say.notef("%q: only the first %d attestations are read", file, mostAttached)
			break
		}
		var bundle struct{ MediaType string }
		if err := json.Unmarshal(line, &bundle); err != nil || !attestation.IsMediaType(bundle.MediaType) {
			f.say.notef("%q: a line is no Sigstore bundle of version 0.3, and does not come along", file)
			continue
		}
		all = append(all, carriedDocument{bundle.MediaType, line, file})
	}
	return all
}

// peek returns what a Sigstore bundle says that it is about. Nothing of it is verified.
func peek(bundle []byte) (attestation.Summary, error) {
	b, err := attestation.ReadBundle(bundle)
	if err != nil {
		return attestation.Summary{}, err
	}
	return b.Peek()
}

// noteStale notes the files that are about none of the parts.
func (f *sourceFiles) noteStale(say *speaker) {
	if f == nil {
		return
	}
	for _, file := range f.order {
		if !f.used[file] {
			say.notef("%q is about another image, and does not come along", file)
		}
	}
}
