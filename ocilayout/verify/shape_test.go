package verify

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const goodManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
	`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},` +
	`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","x":[{"y":1.5e3}]}],` +
	`"annotations":{"a.b":"c"},"unknown":{"b":[null,true]}}`

var manifests = []struct {
	name, doc string
	decode    bool
	want      []string
}{
	{"valid", goodManifest, true, nil},
	{"empty object", `{}`, true, []string{"schemaVersion: is missing", "config: is missing", "layers: is missing"}},
	{"empty document", ``, false, []string{": not JSON: unexpected EOF"}},
	{"cut", goodManifest[:200], false, []string{": not JSON: unexpected EOF"}},
	{"two documents", goodManifest + `{}`, false, []string{": not JSON: something follows the document"}},
	{"a number", `2`, false, []string{": is an integer, want an object"}},
	{"null", `null`, true, []string{": is null, want an object"}},
	{"strings for numbers", `{"schemaVersion":"2","config":{},"layers":[]}`, false, []string{
		"schemaVersion: is a string, want an integer",
		"config.mediaType: is missing", "config.digest: is missing", "config.size: is missing",
		"layers: has 0 items, want at least 1",
	}},
	{"numbers that are no integers", `{"schemaVersion":2.0,"config":{"mediaType":"a/b","size":1e3,"digest":"sha256:x"},"layers":[null]}`, false, []string{
		`schemaVersion: "2.0" is not an integer of 64 bits`, `config.size: "1e3" is not an integer of 64 bits`,
		`config.digest: "sha256:x": invalid checksum digest length`, "layers[0]: is null, want an object",
	}},
	{"names that need quotes", `{"schemaVersion":2,"config":null,"layers":{},"annotations":{"a.b\u0007":1}}`, false, []string{
		"config: is null, want an object", "layers: is an object, want an array", `annotations."a.b\a": is an integer, want a string`,
	}},
	{"deep", `{"x":` + strings.Repeat("[", 100), false, []string{": not JSON: nested too deeply"}},
	{"case", strings.Replace(goodManifest, `"layers"`, `"Layers"`, 1), false, []string{`Layers: must be spelled "layers"`, "layers: is missing"}},
	{"same name", strings.Replace(goodManifest, `"unknown"`, `"config"`, 1), false, []string{
		"config: occurs twice", "config.mediaType: is missing", "config.digest: is missing", "config.size: is missing",
	}},
	{"many layers", `{"layers":[` + strings.Repeat("0,", maxLayers) + `0]}`, false, nil},
}

// TestCheckShape checks the problems and the result for each of manifests.
func TestCheckShape(t *testing.T) {
	for _, test := range manifests {
		var got []string
		decode := checkShape([]byte(test.doc), manifestShape, func(where, what string) { got = append(got, where+": "+what) })
		if decode != test.decode {
			t.Errorf("%s: decode = %v; want %v", test.name, decode, test.decode)
		}
		switch test.name {
		case "many layers":
			if last := got[len(got)-1]; last != ": not JSON: too large" {
				t.Errorf("%s: the last problem is %q; want it too large", test.name, last)
			}
		default:
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("%s: problems (-want +got):\n%s", test.name, d)
			}
		}
	}
}

// FuzzCheckShape checks that a document without problems can be decoded and has the required fields.
func FuzzCheckShape(f *testing.F) {
	for _, test := range manifests {
		f.Add(test.doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		n := 0
		decode := checkShape([]byte(doc), manifestShape, func(string, string) { n++ })
		var m ispec.Manifest
		err := json.Unmarshal([]byte(doc), &m)
		if n > 0 {
			return
		}
		if !decode || err != nil {
			t.Fatalf("no problems, but decode = %v and Unmarshal = %v", decode, err)
		}
		if m.SchemaVersion != 2 || len(m.Layers) == 0 || m.Config.Digest.Validate() != nil || m.Config.Size < 0 {
			t.Errorf("no problems, but the manifest is %+v", m)
		}
	})
}
