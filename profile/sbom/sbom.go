// Package sbom writes a closure as an SPDX 2.3 or CycloneDX 1.6 document in JSON.
//
// It guesses nothing from files or their names. Each store path is a package. The document says of it
// the name and version into which Nix splits its name, its NAR hash, its references to other store paths,
// and in an image, the digest of its layer.
// Fields that Nix does not know, such as licences and suppliers, are marked as unknown,
// unless [Metadata] says them. They go to these places:
//
//	            SPDX 2.3                                     CycloneDX 1.6
//	licences    licenseDeclared, hasExtractedLicensingInfos  licenses, with acknowledgement "declared"
//	CPEs        externalRefs: SECURITY, cpe23Type            cpe; from the second on, evidence.identity and properties: syft:cpe23
//	purl        externalRefs: PACKAGE-MANAGER, purl          purl
//	homepage    homepage                                     externalReferences: website
//	source      downloadLocation                             externalReferences: source-distribution or vcs
//	description summary                                      description
//	supplier    supplier: Organization                       supplier
//
// All licences of a package apply. SPDX has them as one expression with AND. A licence that is not on the SPDX list
// is LicenseRef-…, with its name and URL in hasExtractedLicensingInfos. CycloneDX has a list of identifiers and names,
// or one expression if a licence is an expression. There, a licence that is not on the list is only LicenseRef-….
//
// A component of CycloneDX has one cpe. By the specification, evidence.identity has the others.
// syft and grype read them from the property syft:cpe23 (syft/format/internal/cyclonedxutil/helpers/cpe.go).
// Only CycloneDX has the URL of a supplier.
//
// [Format.InImage] says where an image has the document of its own store paths.
//
// The same closure and metadata in the same image give the same bytes: identifiers derive from the image's digest,
// or from the closure if there is no image, and from what the metadata says. The timestamp is the creation time of the image.
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

// Image describes the image that contains the closure. The zero value stands for no image.
type Image struct {
	Digest  string                  // of the manifest, "sha256:<hex>"
	Created time.Time               // zero: one second after the epoch
	Layers  map[profile.Path]string // digest of the layer blob of each path, as far as known

	// Inside says that the document is for a place in the image itself. It cannot name the digest or layers, which depend on it.
	// CycloneDX then has a container as its subject, and not the closure, which syft takes for one more package.
	Inside bool
}

// Format is a document format.
type Format string

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

// MediaType returns the media type of documents.
func (f Format) MediaType() string {
	if f == CycloneDX {
		return "application/vnd.cyclonedx+json"
	}
	return "application/spdx+json"
}

// Extension returns the file extension that the specification recommends.
func (f Format) Extension() string {
	if f == CycloneDX {
		return ".cdx.json"
	}
	return ".spdx.json"
}

// Write writes a document of a closure.
func (f Format) Write(w io.Writer, c *profile.Closure, i Image, m Metadata) error {
	write := writeSPDX
	if f == CycloneDX {
		write = writeCycloneDX
	}
	if err := write(w, c, i, m); err != nil {
		return fmt.Errorf("write %s document: %w", f, err)
	}
	return nil
}

func (i Image) created() string {
	t := i.Created
	if t.IsZero() {
		t = time.Unix(1, 0)
	}
	return t.UTC().Format(time.RFC3339) // whole seconds
}

// uuid derives the UUID of a document. It has version 8, which leaves the meaning of the bits to the application.
func uuid(f Format, c *profile.Closure, i Image, m Metadata) string {
	h := sha256.New()
	fmt.Fprintf(h, "export-profile %s 1\n%s\n", f, i.Digest)
	if i.Inside {
		fmt.Fprintln(h, "inside")
	}
	if i.Digest == "" {
		for _, root := range c.Roots {
			fmt.Fprintf(h, "%s\n", root)
		}
		for _, info := range c.Infos {
			fmt.Fprintf(h, "%s %s\n", info.Path, info.NarHash)
		}
	}
	m.sum(h, c)
	b := h.Sum(nil)[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// split returns the name of a package, never empty, and its version.
func split(p profile.Path) (name, version string) {
	if name, version = profile.SplitName(p.Name()); name == "" {
		return p.Name(), ""
	}
	return name, version
}

// packageURL returns the purl of a package. Its type, nix, is the one that other programs use. Packages of Guix have the type guix.
func packageURL(p profile.Path) string {
	name, version := split(p)
	kind := "nix"
	if p.StoreDir().IsGuix() {
		kind = "guix"
	}
	url := "pkg:" + kind + "/" + escape(name)
	if version != "" {
		url += "@" + escape(version)
	}
	return url
}

// escape encodes characters that a purl does not allow in a name or version as %XX. Names of store paths are ASCII.
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

// references returns the references of an object to other objects.
func references(info *profile.Info) []profile.Path {
	var refs []profile.Path
	for _, r := range info.References {
		if r != info.Path {
			refs = append(refs, r)
		}
	}
	return refs
}

// name names the document after the first root.
func name(c *profile.Closure) string {
	if len(c.Roots) == 0 {
		return "empty"
	}
	return c.Roots[0].Name()
}
