package sbom

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

var update = flag.Bool("update", false, "write the documents into testdata")

func path(t testing.TB, base string) profile.Path {
	t.Helper()
	p, err := profile.ParseBase(profile.StoreDir{}, base)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// closure has a self-reference, odd names, an unknown hash and two roots.
func closure(t testing.TB) *profile.Closure {
	t.Helper()
	hash, err := profile.ParseHash("sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	lib := path(t, "6821dyl8slsfcylbd6mxghxdqg9f36w9-gtk+3-3.24.38_rc1")
	hello := path(t, "fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0")
	odd := path(t, "72nvywr0x8jnb2rfhg1rqhz1wvy5s06b--1?x=y")
	return &profile.Closure{
		Roots: []profile.Path{hello, odd},
		Infos: []*profile.Info{
			{Path: lib, NarHash: hash, NarSize: 1840, References: []profile.Path{lib}},
			{Path: odd, NarSize: 96},
			{Path: hello, NarHash: hash, NarSize: 10864, References: []profile.Path{lib, hello}},
		},
	}
}

func image(c *profile.Closure) Image {
	layer := "sha256:" + strings.Repeat("22", 32)
	return Image{
		Digest:  "sha256:" + strings.Repeat("11", 32),
		Created: time.Date(2024, 2, 29, 12, 0, 0, 999, time.FixedZone("", 3600)),
		Layers:  map[profile.Path]string{c.Infos[0].Path: layer, c.Infos[2].Path: layer},
	}
}

// TestWrite compares documents with those in testdata, and validates them against the published schemas.
func TestWrite(t *testing.T) {
	c := closure(t)
	for _, tt := range []struct {
		name   string
		format Format
		image  Image
	}{
		{"image", SPDX, image(c)},
		{"image", CycloneDX, image(c)},
		{"closure", SPDX, Image{}},
		{"closure", CycloneDX, Image{}},
		{"inside", SPDX, Image{Inside: true}},
		{"inside", CycloneDX, Image{Inside: true}},
	} {
		var b bytes.Buffer
		if err := tt.format.Write(&b, c, tt.image, nil); err != nil {
			t.Fatal(err)
		}
		if err := sbomtest.Validate(string(tt.format), b.Bytes()); err != nil {
			t.Errorf("%s of the %s: %v", tt.format, tt.name, err)
		}
		golden := "testdata/" + tt.name + tt.format.Extension()
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
			t.Errorf("%s of the %s (-%s +got):\n%s", tt.format, tt.name, golden, diff)
		}
	}
}

// TestSchemasRefuse checks that the schemas refuse a broken document.
func TestSchemasRefuse(t *testing.T) {
	c := closure(t)
	for f, from := range map[Format]string{SPDX: `"SPDX-2.3"`, CycloneDX: `"1.6"`} {
		var b bytes.Buffer
		if err := f.Write(&b, c, image(c), nil); err != nil {
			t.Fatal(err)
		}
		broken := strings.Replace(b.String(), from, "16", 1)
		if err := sbomtest.Validate(string(f), []byte(broken)); err == nil {
			t.Errorf("%s: the schema accepts %s", f, broken[:60])
		}
	}
}

// TestReadAgain checks that the libraries read their documents, and that no reference dangles.
func TestReadAgain(t *testing.T) {
	c := closure(t)
	var b bytes.Buffer
	if err := SPDX.Write(&b, c, image(c), nil); err != nil {
		t.Fatal(err)
	}
	var doc v2_3.Document
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{"DOCUMENT": true}
	for _, p := range doc.Packages {
		id := string(p.PackageSPDXIdentifier)
		if defined[id] {
			t.Errorf("%q is defined twice", id)
		}
		defined[id] = true
	}
	for _, r := range doc.Relationships {
		if !defined[string(r.RefA.ElementRefID)] || !defined[string(r.RefB.ElementRefID)] {
			t.Errorf("%v refers to an undefined identifier", r)
		}
	}
	b.Reset()
	if err := CycloneDX.Write(&b, c, image(c), nil); err != nil {
		t.Fatal(err)
	}
	bom := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(&b, cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	if got := len(*bom.Components); got != len(c.Infos) {
		t.Errorf("%d components; want %d", got, len(c.Infos))
	}
}

func TestUUID(t *testing.T) {
	c := closure(t)
	seen := make(map[string]string)
	other := *c
	other.Roots = c.Roots[:1]
	for name, id := range map[string]string{
		"SPDX of the image":      uuid(SPDX, c, image(c), nil),
		"CycloneDX of the image": uuid(CycloneDX, c, image(c), nil),
		"closure":                uuid(SPDX, c, Image{}, nil),
		"inside":                 uuid(SPDX, c, Image{Inside: true}, nil),
		"other roots":            uuid(SPDX, &other, Image{}, nil),
	} {
		if had := seen[id]; had != "" {
			t.Errorf("%s has the UUID of %s", name, had)
		}
		seen[id] = name
		if len(id) != 36 || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Errorf("%s: %q is not a UUID of version 8", name, id)
		}
	}
	again := Image{Digest: image(c).Digest}
	if uuid(SPDX, &other, again, nil) != uuid(SPDX, c, image(c), nil) {
		t.Error("an image's UUID depends on more than its digest")
	}
}

func TestPackageURL(t *testing.T) {
	for _, tt := range []struct{ base, want string }{
		{"6821dyl8slsfcylbd6mxghxdqg9f36w9-gtk+3-3.24", "pkg:nix/gtk%2B3@3.24"},
		{"6821dyl8slsfcylbd6mxghxdqg9f36w9-user-environment", "pkg:nix/user-environment"},
		{"6821dyl8slsfcylbd6mxghxdqg9f36w9--1", "pkg:nix/-1"},
		{"6821dyl8slsfcylbd6mxghxdqg9f36w9-a-1?b=c", "pkg:nix/a@1%3Fb%3Dc"},
	} {
		if got := packageURL(path(t, tt.base)); got != tt.want {
			t.Errorf("packageURL(%q) = %q; want %q", tt.base, got, tt.want)
		}
	}
	if got, want := packageURL("/gnu/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-gtk+-3.24"), "pkg:guix/gtk%2B@3.24"; got != want {
		t.Errorf("packageURL of a package of Guix = %q; want %q", got, want)
	}
}
