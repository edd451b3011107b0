package registry

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestAttach checks that a referrer is found by its subject, in registries that list referrers and in others.
// Attaching twice must change nothing, and a temporary failure must be retried.
func TestAttach(t *testing.T) {
	spdx := Attachment{MediaType: "application/spdx+json", Content: []byte("{}\n"),
		Annotations: map[string]string{ispec.AnnotationCreated: "1970-01-01T00:00:01Z"}}
	cyclonedx := Attachment{MediaType: "application/vnd.cyclonedx+json", Content: []byte("{ }\n")}
	for _, lists := range []bool{false, true} {
		f := newFake(t)
		f.lists = lists
		c := client(t, Options{})
		d, _ := mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
		b := f.manifests["team/hello"]["v1"]
		subject := ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: d, Size: int64(len(b))}
		failed := false
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && !failed {
				failed = true
				refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE")
				return true
			}
			return false
		}
		var attached []digest.Digest
		for _, a := range []Attachment{spdx, cyclonedx, spdx} {
			p, err := c.Push(t.Context(), f.at("team/hello:v1"), nil)
			if err != nil {
				t.Fatal(err)
			}
			artifact, err := p.Attach(t.Context(), subject, a)
			if err != nil {
				t.Fatalf("Attach: %v", err)
			}
			attached = append(attached, artifact.Digest)
		}
		if !failed || attached[0] != attached[2] || attached[0] == attached[1] {
			t.Errorf("Attach = %q, failed once: %v; want the first and third equal", attached, failed)
		}
		var m ispec.Manifest
		if err := json.Unmarshal(f.manifests["team/hello"][attached[0].String()], &m); err != nil {
			t.Fatal(err)
		}
		content := f.blobs["team/hello"][m.Layers[0].Digest]
		if m.Subject == nil || m.Subject.Digest != d || m.ArtifactType != spdx.MediaType || string(content) != "{}\n" ||
			m.Annotations[ispec.AnnotationCreated] != "1970-01-01T00:00:01Z" {
			t.Errorf("the artifact is %+v with %q; want a referrer of %s", m, content, d)
		}
		var index ispec.Index
		tag := strings.Replace(d.String(), ":", "-", 1)
		listed := f.manifests["team/hello"][tag]
		if lists {
			if listed != nil {
				t.Errorf("a registry that lists referrers has the referrers tag %s, too", tag)
			}
			continue
		}
		if err := json.Unmarshal(listed, &index); err != nil {
			t.Fatal(err)
		}
		if len(index.Manifests) != 2 || index.Manifests[0].Digest != attached[0] || index.Manifests[0].ArtifactType != spdx.MediaType {
			t.Errorf("the tag %s has %+v; want both artifacts", tag, index.Manifests)
		}
	}
}
