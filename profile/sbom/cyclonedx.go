package sbom

import (
	"cmp"
	"io"
	"strconv"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/export-profile/export-profile/profile"
)

// Property names.
const (
	storePathProperty = "nix:store_path"
	narHashProperty   = "nix:nar_hash"
	narSizeProperty   = "nix:nar_size"
	layerProperty     = "oci:layer_digest"
	cpeProperty       = "syft:cpe23" // from the second CPE on: syft and grype read no other place
)

// writeCycloneDX writes a document whose subject, the image or the closure, depends on the roots.
// The bom-ref of a store path is the path itself.
func writeCycloneDX(w io.Writer, c *profile.Closure, i Image, m Metadata) error {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuid(CycloneDX, c, i, m)
	subject := cdx.Component{BOMRef: "closure", Type: cdx.ComponentTypeApplication, Name: name(c)}
	switch {
	case i.Inside:
		subject = cdx.Component{BOMRef: "image", Type: cdx.ComponentTypeContainer, Name: name(c)}
	case i.Digest != "":
		subject = cdx.Component{
			BOMRef: i.Digest, Type: cdx.ComponentTypeContainer, Name: name(c), Version: i.Digest,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.TrimPrefix(i.Digest, "sha256:")}},
		}
	}
	bom.Metadata = &cdx.Metadata{
		Timestamp: i.created(),
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{ // without a version, which would change the bytes
			{Type: cdx.ComponentTypeApplication, Name: "export-profile"},
		}},
		Component: &subject,
	}
	components := []cdx.Component{}
	dependencies := []cdx.Dependency{dependency(subject.BOMRef, c.Roots)}
	for _, info := range c.Infos {
		name, version := split(info.Path)
		component := cdx.Component{
			BOMRef: string(info.Path), Type: cdx.ComponentTypeLibrary, // the specification's type for unknown ones
			Name: name, Version: version, PackageURL: packageURL(info.Path),
		}
		properties := []cdx.Property{{Name: storePathProperty, Value: string(info.Path)}}
		if info.NarHash.Known() {
			component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: info.NarHash.Hex()}}
			properties = append(properties, cdx.Property{Name: narHashProperty, Value: info.NarHash.SRI()})
		}
		properties = append(properties, cdx.Property{Name: narSizeProperty, Value: strconv.FormatInt(info.NarSize, 10)})
		if layer := i.Layers[info.Path]; layer != "" {
			properties = append(properties, cdx.Property{Name: layerProperty, Value: layer})
		}
		component.Properties = &properties
		says := m.of(info.Path)
		says.toCycloneDX(&component)
		components = append(components, component)
		dependencies = append(dependencies, dependency(component.BOMRef, references(info)))
	}
	bom.Components = &components
	bom.Dependencies = &dependencies
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func dependency(of string, on []profile.Path) cdx.Dependency {
	d := cdx.Dependency{Ref: of}
	if len(on) > 0 {
		refs := make([]string, len(on))
		for k, p := range on {
			refs[k] = string(p)
		}
		d.Dependencies = &refs
	}
	return d
}

// toCycloneDX writes into a component what the metadata says of it.
func (p *Package) toCycloneDX(to *cdx.Component) {
	to.PackageURL = cmp.Or(p.PURL, to.PackageURL)
	to.Description = p.Description
	to.Licenses = cdxLicenses(p.Licenses)
	if p.Supplier != nil {
		to.Supplier = &cdx.OrganizationalEntity{Name: p.Supplier.Name}
		if p.Supplier.URL != "" {
			to.Supplier.URL = &[]string{p.Supplier.URL}
		}
	}
	var identities []cdx.EvidenceIdentity
	for i, cpe := range p.CPEs {
		if i == 0 {
			to.CPE = cpe
			continue
		}
		identities = append(identities, cdx.EvidenceIdentity{Field: cdx.EvidenceIdentityFieldTypeCPE, ConcludedValue: cpe})
		*to.Properties = append(*to.Properties, cdx.Property{Name: cpeProperty, Value: cpe})
	}
	if identities != nil {
		to.Evidence = &cdx.Evidence{Identity: &cdx.EvidenceIdentityChoice{Identities: &identities}}
	}
	var references []cdx.ExternalReference
	if p.Homepage != "" {
		references = append(references, cdx.ExternalReference{Type: cdx.ERTypeWebsite, URL: p.Homepage})
	}
	if p.Source != "" {
		kind := cdx.ERTypeSourceDistribution
		if p.isVCS() {
			kind = cdx.ERTypeVCS
		}
		references = append(references, cdx.ExternalReference{Type: kind, URL: p.Source})
	}
	if references != nil {
		to.ExternalReferences = &references
	}
}
