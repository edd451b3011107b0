package sbom

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

// metadata has every field, licences of all kinds, and entries of all three kinds of keys.
func metadata(t testing.TB) Metadata {
	t.Helper()
	file, err := ParseMetadata([]byte(`{
		"version": 1,
		"packages": {
			"hello": {"homepage": "https://example.com/hello", "description": "Says <hello>", "cpes": ["cpe:2.3:a:gnu:hello:*:*:*:*:*:*:*:*"]},
			"hello-1.0": {
				"licenses": [{"spdx": "GPL-3.0-or-later"}, {"name": "House rules", "url": "https://example.com/rules"}, {"spdx": "mit"}],
				"cpes": ["cpe:2.3:a:gnu:hello:1.0:*:*:*:*:*:*:*", "cpe:2.3:a:gnu_project:hello:1.0:-:*:*:*:*:*:*"],
				"source": "https://example.com/hello-1.0.tar.gz",
				"supplier": {"name": "NixOS", "url": "https://nixos.org"}
			},
			"/nix/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-gtk+3-3.24.38_rc1": {
				"licenses": [{"spdx": "LGPL-2.1-or-later OR Later-1.0"}, {"spdx": "Apache-2.0 WITH LLVM-exception"}, {"name": "House rules"}],
				"purl": "pkg:github/GNOME/gtk@3.24.38",
				"source": "git+https://gitlab.example.com/gtk.git@3.24.38",
				"supplier": {"name": "GNOME"}
			},
			"other": {}
		}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	return Metadata{file}
}

// TestMetadataDocuments compares documents with metadata with those in testdata, and validates them against the schemas.
func TestMetadataDocuments(t *testing.T) {
	c := closure(t)
	for _, f := range []Format{SPDX, CycloneDX} {
		var b bytes.Buffer
		if err := f.Write(&b, c, image(c), metadata(t)); err != nil {
			t.Fatal(err)
		}
		if err := sbomtest.Validate(string(f), b.Bytes()); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		golden := "testdata/metadata" + f.Extension()
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-%s +got):\n%s", f, golden, diff)
		}
	}
}

func TestMetadataOrder(t *testing.T) {
	hello, gtk := closure(t).Infos[2].Path, closure(t).Infos[0].Path
	parse := func(packages string) MetadataFile {
		t.Helper()
		f, err := ParseMetadata([]byte(`{"version": 1, "packages": ` + packages + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	exact := `"` + string(hello) + `": {"purl": "pkg:generic/path"}`
	const version = `"hello-1.0": {"purl": "pkg:generic/version", "description": "version"}`
	const name = `"hello": {"purl": "pkg:generic/name", "description": "name", "homepage": "https://name"}`
	for _, tt := range []struct {
		files []string
		want  Package
	}{
		{nil, Package{}},
		{[]string{"{" + name + "}"}, Package{PURL: "pkg:generic/name", Description: "name", Homepage: "https://name"}},
		{[]string{"{" + name + "," + version + "}"}, Package{PURL: "pkg:generic/version", Description: "version", Homepage: "https://name"}},
		{[]string{"{" + exact + "," + version + "," + name + "}"}, Package{PURL: "pkg:generic/path", Description: "version", Homepage: "https://name"}},
		{[]string{"{" + exact + "}", "{" + name + "}"}, Package{PURL: "pkg:generic/name", Description: "name", Homepage: "https://name"}},
		{[]string{"{" + name + "}", "{" + exact + "}"}, Package{PURL: "pkg:generic/path", Description: "name", Homepage: "https://name"}},
		{[]string{`{"hello": {"licenses": [{"spdx": "MIT"}]}}`, `{"hello": {"licenses": []}}`}, Package{Licenses: []License{}}},
		{[]string{`{"hello-1": {"description": "no"}, "hell": {"description": "no"}, "hello-1.0-dev": {"description": "no"}}`}, Package{}},
	} {
		var m Metadata
		for _, f := range tt.files {
			m = append(m, parse(f))
		}
		if diff := cmp.Diff(tt.want, m.of(hello)); diff != "" {
			t.Errorf("%q says of %q (-want +got):\n%s", tt.files, hello, diff)
		}
		if got := m.of(gtk); !cmp.Equal(got, Package{}) {
			t.Errorf("%q says of %q: %v", tt.files, gtk, got)
		}
	}
	if got := metadata(t).Unmatched(closure(t)); got != 1 {
		t.Errorf("%d unmatched entries; want 1", got)
	}
}

// TestMetadataUUID checks that documents with other contents have other identifiers,
// and that metadata about other packages changes nothing.
func TestMetadataUUID(t *testing.T) {
	c := closure(t)
	plain, with := uuid(SPDX, c, image(c), nil), uuid(SPDX, c, image(c), metadata(t))
	if plain == with {
		t.Error("metadata does not change the UUID")
	}
	if got := uuid(SPDX, c, image(c), Metadata{{"other": &Package{PURL: "pkg:generic/x"}, "hello": &Package{}}}); got != plain {
		t.Error("metadata that says nothing of the closure changes the UUID")
	}
}

func TestLicenseExpressions(t *testing.T) {
	spdx := func(all ...string) (l []License) {
		for _, s := range all {
			l = append(l, License{SPDX: s})
		}
		return l
	}
	for _, tt := range []struct {
		licenses   []License
		want, refs string
	}{
		{nil, "", ""},
		{spdx("MIT"), "MIT", ""},
		{spdx("MIT", "mit", "MIT"), "MIT", ""},
		{spdx("gpl-2.0+"), "GPL-2.0+", ""},
		{spdx("Apache-2.0+"), "Apache-2.0+", ""},
		{spdx("MIT", "Apache-2.0"), "MIT AND Apache-2.0", ""},
		{spdx("MIT", "ISC OR Zlib"), "MIT AND (ISC OR Zlib)", ""},
		{spdx("ISC OR Zlib"), "ISC OR Zlib", ""},
		{spdx("(ISC OR(Zlib AND  MIT))"), "(ISC OR (Zlib AND MIT))", ""},
		{spdx("GPL-2.0-only WITH Own-exception"), "GPL-2.0-only WITH Own-exception", ""},
		{spdx("New-1.0", "LicenseRef-x"), "LicenseRef-New-1.0 AND LicenseRef-x", "LicenseRef-New-1.0=New-1.0 LicenseRef-x=x"},
		{[]License{{Name: "a b"}, {Name: "a-b"}, {Name: "A b", URL: "https://x"}, {Name: "a b"}, {Name: "é"}},
			"LicenseRef-a-b AND LicenseRef-a-b-2 AND LicenseRef-A-b-3 AND LicenseRef-other",
			"LicenseRef-a-b=a b LicenseRef-a-b-2=a-b LicenseRef-A-b-3=A b LicenseRef-other=é"},
	} {
		refs := new(licenseRefs)
		got := conjunction(tt.licenses, refs)
		var names []string
		for _, o := range refs.all {
			names = append(names, o.LicenseIdentifier+"="+o.LicenseName)
		}
		if got != tt.want || strings.Join(names, " ") != tt.refs {
			t.Errorf("conjunction(%v) = %q with %q; want %q with %q", tt.licenses, got, names, tt.want, tt.refs)
		}
	}
	for _, bad := range []string{"", "AND", "MIT AND", "MIT MIT", "(MIT", "MIT)", "()", "MIT WITH", "MIT WITH (X)", "MIT OR OR MIT", "MIT++", "+",
		strings.Repeat("(", 99) + "MIT" + strings.Repeat(")", 99)} {
		if _, err := parseExpression(bad); err == nil {
			t.Errorf("parseExpression(%q) succeeds", bad)
		}
	}
}

// TestLicenseList compares the list with the schema of CycloneDX, which is newer after an update of its module.
func TestLicenseList(t *testing.T) {
	want, err := sbomtest.LicenseIDs()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(licenseList)
	if diff := cmp.Diff(want, got); diff != "" && !*update {
		t.Errorf("licenses.txt (-schema +list):\n%s", diff)
	}
	if *update {
		if err := os.WriteFile("licenses.txt", []byte(strings.Join(want, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLicence checks the line that people read: all licences apply, and those of a later file win.
func TestLicence(t *testing.T) {
	parse := func(text string) MetadataFile {
		t.Helper()
		file, err := ParseMetadata([]byte(`{"version": 1, "packages": ` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	m := Metadata{
		parse(`{"a": {"licenses": [{"spdx": "MIT"}]}, "b-1": {"licenses": [{"spdx": "MIT"}, {"name": "House rules"}]}, "d": {"homepage": "https://example.com"}}`),
		parse(`{"a-2": {"licenses": [{"spdx": "GPL-2.0-only OR MIT"}]}, "c": {"licenses": [{"spdx": "GPL-2.0-only OR MIT"}, {"spdx": "Zlib"}]}, "e": {"licenses": []}}`),
	}
	for name, want := range map[string]string{
		"a-1": "MIT", "a-2": "GPL-2.0-only OR MIT", "b-1": "MIT AND House rules", "b-2": "", "c-1": "(GPL-2.0-only OR MIT) AND Zlib", "d-1": "", "e-1": "", "f-1": "",
	} {
		if got := m.Licence(profile.Path("/nix/store/00000000000000000000000000000000-" + name)); got != want {
			t.Errorf("Licence(%s) = %q; want %q", name, got, want)
		}
	}
}
