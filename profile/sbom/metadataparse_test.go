package sbom

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

const cpe = "cpe:2.3:a:gnu:hello:1.0:*:*:*:*:*:*:*"

// metadataFiles are metadata files, and a part of the error about each; "" if there is none.
// A word before | says that the schema cannot see the error.
var metadataFiles = []struct{ file, err string }{
	{`{"version": 1, "packages": {}}`, ""},
	{`{"$schema": "https://example.com", "packages": {"a": {}, "a-1": {}}, "version": 1}`, ""},
	{of(`"licenses": [], "cpes": []`), ""},
	{of(`"licenses": [{"spdx": "MIT OR (Zlib AND GPL-2.0+)"}, {"name": "x"}, {"name": "ä", "url": "http://x"}]`), ""},
	{of(`"cpes": ["` + cpe + `", "cpe:2.3:a:a\\:b:x\\+:1\\/2:u1:*:en-us:*:*:*:-"]`), ""},
	{of(`"purl": "pkg:deb/debian/curl@7.50.3-1?arch=i386&x=%20#a/b"`), ""},
	{of(`"homepage": "ftp://example.com:21/a%20b?c#d", "source": "git+https://x/y.git@v1"`), ""},
	{of(`"homepage": "https://git@x", "source": "https://x/?a#b"`), ""},
	{of(`"description": "ä <b>", "supplier": {"name": "x"}`), ""},
	{of(`"supplier": {"name": "x", "url": "https://x"}`), ""},
	{fmt.Sprintf(`{"version": 1, "packages": {"/nix/store/%s-x": {}}}`, strings.Repeat("a", 32)), ""},

	{``, "line 1: unexpected EOF"},
	{`{`, "unexpected EOF"},
	{`{"version": 1, "packages": {}`, "unexpected EOF"},
	{`{"version": 1, "packages": {}} 1`, "1 after the end"},
	{`{"version": 1, "packages": {}} x`, "invalid character"},
	{"\xef\xbb\xbf" + `{"version": 1, "packages": {}}`, "invalid character"},
	{"{\"version\": 1, \"packages\": {}, \"\xff\": 1}", "not UTF-8"},
	{`[]`, "[: want an object"},
	{`null`, "null: want an object"},
	{`{"packages": {}}`, `no "version"`},
	{`{"version": 1}`, `no "packages"`},
	{`{"version": 2, "packages": {}}`, "line 1: version 2: want 1"},
	{`{"version": "1", "packages": {}}`, `version "1": want 1`},
	{`{"version": 1, "packages": {}, "x": 1}`, `unknown field "x": want version or packages`},
	{`{"version": 1, "packages": []}`, "[: want an object"},
	{`{"version": 1, "packages": null}`, "null: want an object"},
	{"{\"version\": 1,\n\"packages\": {\n\"a\": {\"cpe\": \"\"}}}", `line 3: package "a": unknown field "cpe": want licenses, cpes, purl,`},
	{`{"version": 1, "version": 1, "packages": {}}`, `blind|"version" is there twice`},
	{`{"version": 1, "packages": {"a": {}, "a": {}}}`, `blind|"a" is there twice`},
	{of(`"cpes": [], "cpes": []`), `blind|"cpes" is there twice`},
	{`{"version": 1, "packages": {"": {}}}`, `package "": want a store path, or the name of one`},
	{`{"version": 1, "packages": {"a b": {}}}`, `package "a b": want`},
	{`{"version": 1, "packages": {"/gnu/store/x": {}}}`, "want a store path"},
	{fmt.Sprintf(`{"version": 1, "packages": {"/home/me/nix/store/%s-x": {}}}`, strings.Repeat("a", 32)), ""},
	{fmt.Sprintf(`{"version": 1, "packages": {"nix/store/%s-x": {}}}`, strings.Repeat("a", 32)), "want a store path"},
	{`{"version": 1, "packages": {"/nix/store/x": {}}}`, "want a store path"},
	{`{"version": 1, "packages": {"` + strings.Repeat("a", 212) + `": {}}}`, "want a store path"},
	{`{"version": 1, "packages": {"a": null}}`, `package "a": null: want an object`},
	{of(`"licenses": {}`), "licenses: {: want a list"},
	{of(`"licenses": ["MIT"]`), `licenses: "MIT": want an object`},
	{of(`"licenses": [{}]`), "licenses: want either spdx, or name"},
	{of(`"licenses": [{"spdx": "MIT", "name": "x"}]`), "want either spdx, or name"},
	{of(`"licenses": [{"spdx": "MIT", "url": "https://x"}]`), "want either spdx, or name"},
	{of(`"licenses": [{"url": "https://x"}]`), "want either spdx, or name"},
	{of(`"licenses": [{"id": "MIT"}]`), `unknown field "id": want spdx, or name and url`},
	{of(`"licenses": [{"spdx": "MIT/X11"}]`), `spdx: "MIT/X11": want an SPDX expression`},
	{of(`"licenses": [{"spdx": "MIT or X"}]`), `blind|spdx: SPDX expression: "or": want AND, OR or WITH`},
	{of(`"licenses": [{"spdx": ""}]`), "empty; leave out"},
	{of(`"licenses": [` + strings.Repeat(`{"spdx": "MIT"},`, 64) + `{"spdx": "MIT"}]`), "more than 64"},
	{of(`"cpes": "` + cpe + `"`), "want a list"},
	{of(`"cpes": ["cpe:/a:gnu:hello:1.0"]`), "want a CPE 2.3 name"},
	{of(`"cpes": ["` + cpe + `:*"]`), "want a CPE 2.3 name"},
	{of(`"cpes": ["` + cpe + `\n"]`), "control character"},
	{of(`"cpes": [null]`), "null: want a string"},
	{of(`"purl": "https://x"`), "want a package URL"},
	{of(`"purl": "pkg:generic"`), "want a package URL"},
	{of(`"purl": "pkg:generic/a b"`), "want a package URL"},
	{of(`"purl": ""`), "purl: empty"},
	{of(`"purl": 1`), "purl: 1: want a string"},
	{of(`"homepage": "example.com"`), "want a URL"},
	{of(`"homepage": "https://ä"`), "want a URL"},
	{of(`"homepage": "https://x/%zz"`), "want a URL"},
	{of(`"homepage": "https://x:y"`), "want a URL"},
	{of(`"homepage": "https://x:1:2"`), "want a URL"},
	{of(`"homepage": "https://"`), "want a URL"},
	{of(`"homepage": "https://user:password@x"`), "want a URL"},
	{of(`"source": "file:///x"`), "want a URL"},
	{of(`"homepage": "https://x` + strings.Repeat("x", 1024) + `"`), "longer than 1024"},
	{of(`"source": "mirror:x"`), "want a URL"},
	{of(`"description": "a\u001bb"`), "control character"},
	{of(`"description": "a\u0085b"`), "control character"},
	{of(`"description": "` + strings.Repeat("ä", 4097) + `"`), "longer than 4096"},
	{of(`"supplier": "x"`), "want an object"},
	{of(`"supplier": {}`), "supplier: no name"},
	{of(`"supplier": {"name": "x", "email": "x"}`), `unknown field "email"`},
	{of(`"supplier": {"name": "x", "url": "x"}`), "want a URL"},
	{of(`"x": ` + strings.Repeat("[", 100000)), `unknown field "x"`},
}

func of(fields string) string {
	return `{"version": 1, "packages": {"a-1": {` + fields + `}}}`
}

// TestParseMetadata checks that the parser and the schema agree on all files.
func TestParseMetadata(t *testing.T) {
	schema, err := sbomtest.CompileSchema(MetadataSchema)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range metadataFiles {
		want, blind := strings.CutPrefix(tt.err, "blind|")
		_, err := ParseMetadata([]byte(tt.file))
		switch {
		case want == "" && err != nil:
			t.Errorf("ParseMetadata(%.300q) = %v; want <nil>", tt.file, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("ParseMetadata(%.300q) = %v; want %q", tt.file, err, want)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.file))
		if err != nil {
			continue // not JSON
		}
		if err := schema.Validate(doc); (err == nil) != (want == "" || blind) {
			t.Errorf("the schema says of %.300q: %v; want as the parser: %q", tt.file, err, tt.err)
		}
	}
	if _, err := ParseMetadata(make([]byte, MaxMetadata+1)); err == nil || !strings.Contains(err.Error(), "larger than 100 MB") {
		t.Errorf("a large file: %v", err)
	}
}

// FuzzParseMetadata checks that documents are valid with everything that the parser takes, and that their expressions are.
func FuzzParseMetadata(f *testing.F) {
	for _, tt := range metadataFiles {
		f.Add([]byte(strings.ReplaceAll(tt.file, `"a-1"`, `"hello"`)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := ParseMetadata(b)
		if err != nil {
			return
		}
		refs := new(licenseRefs)
		for _, p := range file {
			if all := conjunction(p.Licenses, refs); all != "" {
				if _, err := parseExpression(all); err != nil {
					t.Errorf("%v become %q: %v", p.Licenses, all, err)
				}
			}
		}
		c := closure(t)
		for _, format := range []Format{SPDX, CycloneDX} {
			var out bytes.Buffer
			if err := format.Write(&out, c, Image{}, Metadata{file}); err != nil {
				t.Fatal(err)
			}
			if err := sbomtest.Validate(string(format), out.Bytes()); err != nil {
				t.Error(err)
			}
		}
	})
}
