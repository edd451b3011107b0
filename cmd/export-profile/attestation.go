package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/export-profile/export-profile/profile/attestation"
)

// attestationFile holds the attestation of an image, or those of an index and its images. Methods of a nil one do nothing.
type attestationFile struct {
	document
	key *attestation.SecretKey
}

// open returns the attestation that the flags ask for, or nil without a key.
// The key has been read. The file is named after the image, unless a flag names it.
func (f *attestFlags) open(key *attestation.SecretKey, at place) (*attestationFile, error) {
	if key == nil {
		return nil, nil
	}
	a := &attestationFile{key: key, document: document{
		kind: "attestation", flag: f.keyFlag + " " + f.keyFile, toFile: "--attestation-file ",
		extension: attestation.Extension, mediaType: attestation.MediaType, file: f.file,
		annotations: bundleAnnotations(attestation.PredicateType),
	}}
	switch {
	case f.file == standardName:
		return nil, usagef("as in --attestation-file hello"+attestation.Extension, "--attestation-file: want a file, not standard output")
	case f.file != "":
		a.flag = "--attestation-file " + f.file
	case !a.beside(at):
		where := "goes to standard output"
		if f.finished {
			where = "comes from standard input"
		}
		return nil, usagef("as in --attestation-file hello"+attestation.Extension, "%s: the image %s; name a file", f.keyFlag, where)
	}
	return a, nil
}

// bundleAnnotations returns the annotations of an attached attestation, as cosign and sigstore-go write and look for them.
func bundleAnnotations(predicateType string) map[string]string {
	return map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicateType}
}

// result returns the file.
func (a *attestationFile) result() resultFile {
	if a == nil {
		return resultFile{}
	}
	return a.document.result()
}

// documents returns the attestation as a list.
func (a *attestationFile) documents() []*document {
	if a == nil {
		return nil
	}
	return []*document{&a.document}
}

// name returns the name of the file, or "".
func (a *attestationFile) name() string {
	if a == nil {
		return ""
	}
	return a.file
}

// sign signs a statement, and writes it into a pending file, unless it is only attached.
func (a *attestationFile) sign(s *attestation.Statement) error {
	bundles, err := signAll(a.key, []*attestation.Statement{s})
	if err != nil {
		return err
	}
	a.content = bundles[0]
	a.pending, err = newPendingFile(a.file, string(lines(bundles)))
	return err
}

// signAll returns a bundle for each statement.
func signAll(key *attestation.SecretKey, statements []*attestation.Statement) ([][]byte, error) {
	var bundles [][]byte
	for _, s := range statements {
		payload, err := s.Payload()
		if err != nil {
			return nil, err
		}
		bundle, err := key.Sign(payload)
		if err != nil {
			return nil, fmt.Errorf("statement about %s: %w", s.Subject, err)
		}
		bundles = append(bundles, bundle)
	}
	return bundles, nil
}

// lines joins bundles, one a line (https://slsa.dev/spec/v1.0/distributing-provenance).
func lines(bundles [][]byte) []byte {
	return append(bytes.Join(bundles, []byte("\n")), '\n')
}

// hintMissing adds a hint to an error about a missing file.
func hintMissing(err error, hint string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "%s", hint)
	}
	return err
}
