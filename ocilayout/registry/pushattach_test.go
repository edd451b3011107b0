package registry

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/ocilayout"
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

// TestFindImage finds an image by tag, by digest and through an index, and checks the error for a missing one.
func TestFindImage(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	d, _ := mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
	manifest := f.manifests["team/hello"]["v1"]
	index, err := json.Marshal(ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{
		{MediaType: ispec.MediaTypeImageManifest, Digest: d, Size: int64(len(manifest)), Platform: &ispec.Platform{OS: "linux", Architecture: "amd64"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.manifests["team/hello"]["index"] = index
	digested := f.at("team/hello")
	digested.Digest, digested.Tag = d, ""
	for _, r := range []Reference{f.at("team/hello:v1"), digested, f.at("team/hello:index")} {
		b, err := readImage(t, c, r)
		if err != nil {
			t.Fatalf("Find(%v): %v", r, err)
		}
		objects, foreign := b.VisibleObjects()
		if b.Digest != d || len(objects) != 1 || foreign != 0 {
			t.Errorf("Find(%v) = %s with %v and %d other layers; want %s", r, b.Digest, objects, foreign, d)
		}
		n := 0
		for _, err := range b.Object(t.Context(), objects[0].Layer, objects[0].Name) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("Find(%v): the object has %d entries; want 2", r, n)
		}
	}
	if b, err := readImage(t, c, f.at("team/hello:v2")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find of a missing image = %v, %v; want %v", b, err, fs.ErrNotExist)
	}
}

func readImage(t *testing.T, c *Client, r Reference) (*ocilayout.Image, error) {
	found, err := c.Find(t.Context(), r)
	if err != nil {
		return nil, err
	}
	return found.Read(t.Context(), ispec.Platform{})
}
