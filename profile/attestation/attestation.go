// Package attestation states what an image consists of, signs the statement, and checks it against an image.
//
// A [Statement] is an in-toto Statement v1 with SLSA provenance v1
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance).
// Its subject is the manifest of one image, or an index.
//
//   - buildType says who made the statement and how, see [Kind].
//   - externalParameters holds the flags that shaped the image, if the statement was made with the image.
//   - resolvedDependencies lists each store path in the image. The digest is the SHA-256 of its NAR, as the media type
//     application/x-nix-nar says. Annotations hold what Nix's own signatures cover, and the signatures: narSize, references
//     (base names of store paths, sorted), signatures ("key:base64", sorted) and ca (the content address).
//     A store path that the image's maker changed on purpose has no digest and no signatures, and "changed": true.
//   - resolvedDependencies also names the base image of the image, or the images that an index joins, by their manifests.
//
// The same image, flags and signatures give the same payload, byte for byte. [ParseStatement] accepts exactly such payloads.
// There is no time in it unless the caller gives one, and no version of this program.
//
// A statement is signed as a DSSE envelope (https://github.com/secure-systems-lab/dsse) in a Sigstore bundle v0.3
// (https://github.com/sigstore/protobuf-specs), so that cosign verifies it with the public key alone.
//
// Statements and bundles are hostile until a trusted key has signed them, and a signed statement is still compared with the image.
package attestation

import (
	"errors"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// The types of the documents.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	NARType       = "application/x-nix-nar"
)

// Kind says how a statement came about. Its value is the buildType of the provenance.
type Kind string

const (
	// OfBuild is a statement that was made with the image, from the sources of its store paths.
	OfBuild Kind = kindPrefix + "image-v1"
	// OfContents is a statement about a finished image: its store paths were read from its layers.
	OfContents Kind = kindPrefix + "contents-v1"
	// OfIndex is a statement about an image for several platforms. It names its parts, which have statements of their own.
	OfIndex Kind = kindPrefix + "index-v1"
)

const kindPrefix = "https://github.com/export-profile/export-profile/blob/main/profile/attestation/README.md#"

// builderID names this program as the builder, without a version, which would change the bytes.
const builderID = "https://github.com/export-profile/export-profile"

// Extension is the file extension of bundles, one a line (https://slsa.dev/spec/v1.0/distributing-provenance).
const Extension = ".intoto.jsonl"

// MaxPayload limits the bytes of a statement: about 100,000 store paths.
const MaxPayload = 64 << 20

// ErrForeign is wrapped by errors about statements that another program made. They are no reason to distrust an image.
var ErrForeign = errors.New("not made by this program")

// Statement says what an image consists of.
type Statement struct {
	Kind    Kind
	Name    string // of the first profile; for people
	Subject string // digest of the manifest or index, "sha256:<hex>"

	Parameters map[string]any // externalParameters: strings, booleans, integers and lists of strings; nil for none
	Finished   time.Time      // when the image was made; zero: the statement has no time

	Paths    []Path // sorted by path, each once
	Base     string // digest of the base image's manifest, or ""
	BaseType string // its media type
	Parts    []Part // of an index, in its order
}

// Path is a store path in an image.
type Path struct {
	Path       profile.Path
	NarHash    profile.Hash   // unknown if Changed
	NarSize    int64          // 0 if Changed
	References []profile.Path // sorted, each once, also the path itself if it refers to itself
	Signatures []string       // of Nix keys over [trust.Fingerprint], "name:base64", sorted
	CA         string         // content address, or ""
	Changed    bool           // the image's maker changed it on purpose
}

// Signed returns how many of the paths have a signature.
func (s *Statement) Signed() (n int) {
	for _, p := range s.Paths {
		if len(p.Signatures) > 0 {
			n++
		}
	}
	return n
}

// Changed returns how many of the paths were changed on purpose.
func (s *Statement) Changed() (n int) {
	for _, p := range s.Paths {
		if p.Changed {
			n++
		}
	}
	return n
}

// Part is one image of an index.
type Part struct {
	Digest    string // of the manifest
	MediaType string
	Platform  string // such as linux/amd64, for people
}

// Info returns what Nix's signatures cover.
func (p *Path) Info() *profile.Info {
	return &profile.Info{Path: p.Path, NarHash: p.NarHash, NarSize: p.NarSize, References: p.References, Signatures: p.Signatures, CA: p.CA}
}
