// Package sbom writes what a closure consists of as SPDX 2.3 and CycloneDX 1.6 documents in JSON.
//
// Nothing is guessed from files or their names: each store path is a package,
// with the name and version that Nix splits its name into, its NAR hash, the store paths that it refers to,
// and, of an image, the digest of the layer that it is in. A reference of a store path to itself is left out.
// What Nix does not know, as licences and suppliers, is said to be unknown.
//
// The same closure in the same image gives the same bytes: identifiers are derived from the image's digest,
// or from the closure if there is no image, and the time is that at which the image says it was made.
package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// Image is what a closure is in. The zero value is no image.
type Image struct {
	Digest  string                  // of the manifest, "sha256:<hex>"
	Created time.Time               // zero: one second after the epoch
	Layers  map[profile.Path]string // digests of the layers' blobs; where a path is not in it, nothing is said
}

// Format is a format of documents.
type Format string

// The formats, as people call them.
const (
	SPDX      Format = "spdx"
	CycloneDX Format = "cyclonedx"
)

// ParseFormat parses the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case SPDX, CycloneDX:
		return f, nil
	}
	return "", fmt.Errorf("format %q: want spdx or cyclonedx", s)
}

// MediaType is that of documents in the format.
func (f Format) MediaType() string {
	if f == CycloneDX {
		return "application/vnd.cyclonedx+json"
	}
	return "application/spdx+json"
}

// Extension is how the names of files in the format end, as their specifications recommend it.
func (f Format) Extension() string {
	if f == CycloneDX {
		return ".cdx.json"
	}
	return ".spdx.json"
}

// Write writes a document about a closure.
func (f Format) Write(w io.Writer, c *profile.Closure, i Image) error {
	write := writeSPDX
	if f == CycloneDX {
		write = writeCycloneDX
	}
	if err := write(w, c, i); err != nil {
		return fmt.Errorf("write %s document: %w", f, err)
	}
	return nil
}

func (i Image) created() string {
	t := i.Created
	if t.IsZero() {
		t = time.Unix(1, 0)
	}
	return t.UTC().Format(time.RFC3339) // in whole seconds
}

// uuid is that of a document. It is one of version 8, whose meaning is the maker's own.
func uuid(f Format, c *profile.Closure, i Image) string {
	h := sha256.New()
	fmt.Fprintf(h, "export-profile %s 1\n%s\n", f, i.Digest)
	if i.Digest == "" {
		for _, root := range c.Roots {
			fmt.Fprintf(h, "%s\n", root)
		}
		for _, info := range c.Infos {
			fmt.Fprintf(h, "%s %s\n", info.Path, info.NarHash)
		}
	}
	b := h.Sum(nil)[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// split is a package's name, which is never empty, and version.
func split(p profile.Path) (name, version string) {
	if name, version = profile.SplitName(p.Name()); name == "" {
		return p.Name(), ""
	}
	return name, version
}

// packageURL is a package's purl, of the type that other programs have for Nix, too.
func packageURL(p profile.Path) string {
	name, version := split(p)
	url := "pkg:nix/" + escape(name)
	if version != "" {
		url += "@" + escape(version)
	}
	return url
}

// escape has what a purl must not have in a name or a version as %XX. There is only ASCII in names of store paths.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '+' || c == '?' || c == '=' || c == '/' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// references are those of an object but itself, as far as they are in the closure, which has all of them.
func references(info *profile.Info) []profile.Path {
	var refs []profile.Path
	for _, r := range info.References {
		if r != info.Path {
			refs = append(refs, r)
		}
	}
	return refs
}

// name is what the document is about, for people.
func name(c *profile.Closure) string {
	if len(c.Roots) == 0 {
		return "empty"
	}
	return c.Roots[0].Name()
}
