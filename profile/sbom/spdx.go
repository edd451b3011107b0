package sbom

import (
	"cmp"
	"encoding/json"
	"io"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/export-profile/export-profile/profile"
)

const noAssertion = "NOASSERTION"

// Types of external references. The specification allows types of one's own.
const (
	storePathType = "nix-store-path"
	layerType     = "oci-layer"
)

// spdxImage is the identifier of the image. No store path has it.
const spdxImage = "Image"

// spdxID returns the identifier of an object: its hash, which makes it unique, and its name.
func spdxID(p profile.Path) common.ElementID {
	return common.ElementID(strings.Map(func(r rune) rune {
		if r == '+' || r == '_' || r == '?' || r == '=' {
			return '-'
		}
		return r
	}, p.Base()))
}

// writeSPDX writes a document that describes the image, which CONTAINS all store paths, or else the roots.
// A reference is a DEPENDS_ON relationship.
func writeSPDX(w io.Writer, c *profile.Closure, i Image, m Metadata) error {
	doc := v2_3.Document{
		SPDXVersion:       v2_3.Version,
		DataLicense:       v2_3.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      name(c),
		DocumentNamespace: "https://spdx.org/spdxdocs/" + escape(name(c)) + "-" + uuid(SPDX, c, i, m),
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "export-profile"}}, // without a version, which would change the bytes
			Created:  i.created(),
		},
	}
	relate := func(a common.ElementID, how string, b common.ElementID) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.DocElementID{ElementRefID: a}, RefB: common.DocElementID{ElementRefID: b}, Relationship: how,
		})
	}
	if i.Digest != "" {
		doc.Packages = append(doc.Packages, spdxPackage(v2_3.Package{
			PackageName:           name(c),
			PackageSPDXIdentifier: spdxImage,
			PackageVersion:        i.Digest,
			PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: strings.TrimPrefix(i.Digest, "sha256:")}},
			PackageComment:        "the checksum is the digest of the image's manifest",
			PrimaryPackagePurpose: "CONTAINER",
		}))
		relate("DOCUMENT", common.TypeRelationshipDescribe, spdxImage)
	} else {
		for _, root := range c.Roots {
			relate("DOCUMENT", common.TypeRelationshipDescribe, spdxID(root))
		}
	}
	refs := new(licenseRefs)
	for _, info := range c.Infos {
		name, version := split(info.Path)
		says := m.of(info.Path)
		p := v2_3.Package{
			PackageName:           name,
			PackageSPDXIdentifier: spdxID(info.Path),
			PackageVersion:        version,
			PackageFileName:       string(info.Path),
			PackageExternalReferences: []*v2_3.PackageExternalReference{
				{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: cmp.Or(says.PURL, packageURL(info.Path))},
				{Category: common.CategoryOther, RefType: storePathType, Locator: string(info.Path)},
			},
		}
		if info.NarHash.Known() {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: info.NarHash.Hex()}}
			p.PackageComment = "the checksum is that of the store path's NAR"
		}
		if layer := i.Layers[info.Path]; layer != "" {
			p.PackageExternalReferences = append(p.PackageExternalReferences,
				&v2_3.PackageExternalReference{Category: common.CategoryOther, RefType: layerType, Locator: layer})
		}
		add := spdxPackage(p)
		says.toSPDX(add, refs)
		doc.Packages = append(doc.Packages, add)
		if i.Digest != "" {
			relate(spdxImage, common.TypeRelationshipContains, spdxID(info.Path))
		}
		for _, r := range references(info) {
			relate(spdxID(info.Path), common.TypeRelationshipDependsOn, spdxID(r))
		}
	}
	doc.OtherLicenses = refs.all
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(&doc)
}

// spdxPackage adds the fields that are the same for all packages.
func spdxPackage(p v2_3.Package) *v2_3.Package {
	p.PackageSupplier = &common.Supplier{Supplier: noAssertion}
	p.PackageDownloadLocation = noAssertion
	p.PackageLicenseConcluded = noAssertion
	p.PackageLicenseDeclared = noAssertion
	p.PackageCopyrightText = noAssertion
	return &p
}

// toSPDX writes into a package what the metadata says of it.
func (p *Package) toSPDX(to *v2_3.Package, refs *licenseRefs) {
	to.PackageLicenseDeclared = cmp.Or(conjunction(p.Licenses, refs), to.PackageLicenseDeclared)
	to.PackageDownloadLocation = cmp.Or(p.Source, to.PackageDownloadLocation)
	to.PackageHomePage = p.Homepage
	to.PackageSummary = p.Description
	if p.Supplier != nil {
		to.PackageSupplier = &common.Supplier{SupplierType: "Organization", Supplier: p.Supplier.Name}
	}
	for _, cpe := range p.CPEs {
		to.PackageExternalReferences = append(to.PackageExternalReferences,
			&v2_3.PackageExternalReference{Category: common.CategorySecurity, RefType: common.TypeSecurityCPE23Type, Locator: cpe})
	}
}
