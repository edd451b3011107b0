package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/export-profile/export-profile/profile/sbom"
	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

// evaluate writes the metadata of packages with real Nix, and returns the JSON.
func evaluate(t *testing.T, packages string, args ...string) string {
	t.Helper()
	cmd := nix("nix-instantiate", slices.Concat([]string{"--eval", "--strict", "--json",
		filepath.Join(lab.repo, "profile/sbom/metadata.nix"), "--arg", "packages", packages}, args)...)
	return do(t, cmd).stdout
}

// TestMetadataOfMeta checks what metadata.nix makes of meta in all its forms.
func TestMetadataOfMeta(t *testing.T) {
	text := evaluate(t, "builtins.attrValues (import ./metadata.nix)", "--arg", "mirrors", `{ example = [ "https://mirror.example.org/" ]; }`)
	schema, err := sbomtest.CompileSchema(sbom.MetadataSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = schema.Validate(doc)
	}
	if err != nil {
		t.Errorf("the schema refuses %s: %v", text, err)
	}
	file, err := sbom.ParseMetadata([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]sbom.Package)
	for path, p := range file {
		_, name, _ := strings.Cut(path, "-")
		got[name] = *p
	}
	mit := sbom.License{SPDX: "MIT"}
	usual := sbom.Package{
		Licenses: []sbom.License{mit}, CPEs: []string{"cpe:2.3:a:example:usual:1.2:*:*:*:*:*:*:*"}, PURL: "pkg:generic/usual@1.2",
		Homepage: "https://example.com/usual", Source: "https://mirror.example.org/usual-1.2.tar.gz", Description: "Usual package of two lines",
	}
	want := map[string]sbom.Package{
		"usual-1.2": usual, "usual-1.2-dev": usual, "usual-1.2-man": usual,
		"lists-0.1": {
			Licenses: []sbom.License{mit, {Name: "House rules (of the house)", URL: "https://example.com/rules"}, {Name: "BSD-like"}},
			CPEs:     []string{"cpe:2.3:a:lists:lists:0.1:*:*:*:*:*:*:*", "cpe:2.3:a:lists:lists:0:1:*:*:*:*:*:*"},
			Homepage: "https://example.com/a", Source: "git+https://github.com/example/lists.git@v0.1",
		},
		"strings-2": {
			Licenses: []sbom.License{{Name: "GPL, see COPYING"}}, Source: "git+https://example.com/strings.git@2", Description: `ä "quoted"`,
		},
		"compound-3": {
			Licenses: []sbom.License{{SPDX: "(MIT OR Apache-2.0 WITH LLVM-exception OR (LicenseRef-house-rules AND EUPL-1.1+))"}},
		},
		"bare": {}, "cyclic-1": {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata.nix (-want +got):\n%s", diff)
	}
	one := evaluate(t, "(import ./metadata.nix).lists")
	if names := strings.Count(one, "/nix/store/"); names != 6 {
		t.Errorf("metadata.nix of one package: %s; want 6 store paths, those of its inputs too", one)
	}
	for path := range file {
		if r := try(t, nix("nix-store", "--check-validity", path)); r.status() == 0 {
			t.Errorf("Nix has built %s", path)
		}
	}
}

// TestMetadataOfStore checks that metadata from Nix reaches the document of a store path that is in the store.
func TestMetadataOfStore(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	text := evaluate(t, `[ ((import ./objects.nix).odd // { meta.license.spdxId = "Zlib"; meta.identifiers.cpe = "cpe:2.3:a:odd:odd:1:*:*:*:*:*:*:*"; }) ]`,
		"--argstr", "supplier", "NixOS")
	writeFile(t, filepath.Join(dir, "metadata.json"), text)
	for format, want := range map[string][]string{
		"spdx":      {`"licenseDeclared": "Zlib"`, `"referenceLocator": "cpe:2.3:a:odd:odd:1:*:*:*:*:*:*:*"`, `"supplier": "Organization: NixOS"`},
		"cyclonedx": {`"id": "Zlib"`, `"cpe": "cpe:2.3:a:odd:odd:1:*:*:*:*:*:*:*"`, `"name": "NixOS"`},
	} {
		got := p.export(t, dir, "sbom", "--profile", lab.objects["odd"], "--metadata", "metadata.json", "--format", format)
		for _, w := range want {
			if strings.Count(got, w) != 1 {
				t.Errorf("%s: want one %s in %s", format, w, got)
			}
		}
		if err := sbomtest.Validate(format, []byte(got)); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}
