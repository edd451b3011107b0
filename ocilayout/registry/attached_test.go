package registry

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestReadAttached checks that a manifest is read as an attachment only of its own subject, and only in the form of one.
func TestReadAttached(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	subject, _ := attachedTo(t, c, f)
	r := referrersIn(t, c, f)
	content := descriptorOf(bundleType, []byte("{}"))
	good := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, Config: emptyDescriptor(), Layers: []ispec.Descriptor{content},
		ArtifactType: bundleType, Subject: &ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: subject, Size: 3}}
	f.put("team/hello", content.Digest, []byte("{}"))
	for _, tt := range []struct {
		name         string
		change       func(m *ispec.Manifest)
		read, broken string // errors of Read, and of Content
	}{
		{"good", func(*ispec.Manifest) {}, "", ""},
		{"the config's type counts", func(m *ispec.Manifest) { m.ArtifactType, m.Config.MediaType = "", bundleType }, "", ""},
		{"no subject", func(m *ispec.Manifest) { m.Subject = nil }, "it is attached to nothing", ""},
		{"another subject", func(m *ispec.Manifest) { m.Subject = &ispec.Descriptor{Digest: zeros} }, "it is attached to \"sha256:000", ""},
		{"an index", func(m *ispec.Manifest) { m.MediaType = ispec.MediaTypeImageIndex }, "an artifact is an image manifest", ""},
		{"a large manifest", func(m *ispec.Manifest) { m.Annotations = map[string]string{"a": strings.Repeat("a", 5<<20)} }, "more than 4 MiB", ""},
		{"many layers", func(m *ispec.Manifest) { m.Layers = slices.Repeat(m.Layers, 10_001) }, "more than 10000 entries", ""},
		{"no layer", func(m *ispec.Manifest) { m.Layers = nil }, "", "it has 0 layers"},
		{"two layers", func(m *ispec.Manifest) { m.Layers = append(m.Layers, content) }, "", "it has 2 layers"},
		{"a large layer", func(m *ispec.Manifest) { m.Layers[0].Size = 1 << 40 }, "", "at most 96 MiB"},
		{"a negative size", func(m *ispec.Manifest) { m.Layers[0].Size = -1 }, "", "-1 bytes"},
		{"another size", func(m *ispec.Manifest) { m.Layers[0].Size = 1 }, "", "not what was described"},
		{"no digest", func(m *ispec.Manifest) { m.Layers[0].Digest = "sha256:../x" }, "", "content: digest"},
		{"a layer with the type of a manifest", func(m *ispec.Manifest) { m.Layers[0].MediaType = ispec.MediaTypeImageManifest }, "", ""},
	} {
		m := good
		m.Layers = slices.Clone(good.Layers)
		tt.change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := descriptorOf(m.MediaType, b)
		f.mu.Lock()
		f.manifests["team/hello"][d.Digest.String()] = b
		f.mu.Unlock()
		a, err := r.Read(t.Context(), subject, d)
		wantError(t, tt.name+": Read", err, tt.read)
		if err != nil {
			continue
		}
		if a.Digest != d.Digest || a.ArtifactType != bundleType || string(a.Manifest) != string(b) {
			t.Errorf("%s: Read = %+v", tt.name, a)
		}
		got, err := r.Content(t.Context(), a)
		wantError(t, tt.name+": Content", err, tt.broken)
		if err == nil && string(got) != "{}" {
			t.Errorf("%s: Content = %q; want {}", tt.name, got)
		}
	}
}
