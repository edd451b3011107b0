package sbom

import (
	"bytes"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

var aboutDigest = "sha256:" + strings.Repeat("ab", 32)

var aboutTests = []struct {
	name      string
	spdx, cdx bool
	document  string
}{
	{"SPDX", true, false, `{"packages":[{"versionInfo":"1"},{"x":{"y":[1,[]]},"versionInfo":"DIGEST"}]}`},
	{"CycloneDX", false, true, `{"a":[{}],"metadata":{"component":{"name":"x","version":"DIGEST"}}}`},
	{"both", true, true, `{"packages":[{"versionInfo":"DIGEST"}],"metadata":{"component":{"version":"DIGEST"}}}`},
	{"another digest", false, false, `{"packages":[{"versionInfo":"sha256:00"}],"metadata":{"component":{"version":"sha256:00"}}}`},
	{"elsewhere", false, false, `{"versionInfo":"DIGEST","packages":[{"name":"DIGEST","x":{"versionInfo":"DIGEST"}}],"metadata":{"version":"DIGEST"}}`},
	{"as a key", false, false, `{"packages":[{"versionInfo":{"DIGEST":1}}],"metadata":{"component":{"version":["DIGEST"]}}}`},
	{"packages of an object", false, false, `{"packages":{"versionInfo":"DIGEST"}}`},
	{"cut off", false, false, `{"packages":[{"versionInfo":"DIGEST"}]`},
	{"no JSON", false, false, `DIGEST`},
	{"nothing", false, false, ``},
	{"deep", false, false, strings.Repeat("[", 2000) + `"DIGEST"`},
}

// TestIsAbout checks where a document has to name its image.
func TestIsAbout(t *testing.T) {
	for _, tt := range aboutTests {
		document := []byte(strings.ReplaceAll(tt.document, "DIGEST", aboutDigest))
		if got := SPDX.IsAbout(document, aboutDigest); got != tt.spdx {
			t.Errorf("%s: SPDX.IsAbout = %v; want %v", tt.name, got, tt.spdx)
		}
		if got := CycloneDX.IsAbout(document, aboutDigest); got != tt.cdx {
			t.Errorf("%s: CycloneDX.IsAbout = %v; want %v", tt.name, got, tt.cdx)
		}
	}
	for _, f := range []Format{SPDX, CycloneDX} {
		var b bytes.Buffer
		if err := f.Write(&b, &profile.Closure{}, Image{Digest: aboutDigest}, nil); err != nil {
			t.Fatal(err)
		}
		if !f.IsAbout(b.Bytes(), aboutDigest) || f.IsAbout(b.Bytes(), "sha256:"+strings.Repeat("cd", 32)) {
			t.Errorf("%s: a written document is not about its image, or about another one", f)
		}
	}
}

// FuzzIsAbout checks that a document in which the digest does not occur is not about it.
func FuzzIsAbout(f *testing.F) {
	for _, tt := range aboutTests {
		f.Add([]byte(strings.ReplaceAll(tt.document, "DIGEST", aboutDigest)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if (SPDX.IsAbout(b, aboutDigest) || CycloneDX.IsAbout(b, aboutDigest)) && !bytes.Contains(b, []byte("ab")) && !bytes.Contains(b, []byte(`\u`)) {
			t.Errorf("%q is about an image that it does not name", b)
		}
	})
}
