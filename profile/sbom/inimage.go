package sbom

import "github.com/export-profile/export-profile/profile"

// InImageDir is the directory of an image in which scanners find the document of its packages.
// The packages of Wolfi and Chainguard have theirs there, as NAME-VERSION.spdx.json, and apko reads them there
// (https://github.com/chainguard-dev/apko, pkg/sbom/generator/spdx/spdx.go: apkSBOMdir).
//
// Trivy reads all files that end in .spdx.json or .cdx.json (pkg/fanal/analyzer/sbom/sbom.go), and knows no packages of
// type nix in them. The sbom-cataloger of syft and grype reads *.spdx.* and *.cdx.* anywhere
// (syft/pkg/cataloger/sbom/cataloger.go). It has to be selected, since such a file is no evidence that a package is installed;
// their nix-cataloger finds the same store paths by their directories.
const InImageDir = "var/lib/db/sbom"

// InImage returns the path of the document in an image, without a leading slash. It is named after the closure's first root.
// The document is that of [Image.Inside].
func (f Format) InImage(c *profile.Closure) string {
	return InImageDir + "/" + name(c) + f.Extension()
}
