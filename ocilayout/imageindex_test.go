package ocilayout

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// namedSource is an image in a layout.
type namedSource struct{ Dir, Tag string }

// publishIndex publishes an index of images.
func publishIndex(t *testing.T, dir, tag string, sources ...namedSource) (IndexResult, error) {
	t.Helper()
	var found []*ImageSource
	for _, s := range sources {
		f, err := FindImage(t.Context(), s.Dir, s.Tag)
		if err != nil {
			return IndexResult{}, err
		}
		found = append(found, f)
	}
	l, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j, err := l.AddIndex(t.Context(), found, map[string]string{"k": "v"})
	if err != nil {
		return j, err
	}
	return j, l.Publish(t.Context(), j.Descriptor, Name{Tag: tag})
}

func readIndexBlob(t *testing.T, dir string, d digest.Digest) (index ispec.Index) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, blobs, d.Encoded()))
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestAddIndex(t *testing.T) {
	root := t.TempDir()
	source := func(arch, variant string) namedSource {
		image := sampleImage(t, 1)
		image.Platform = ispec.Platform{OS: "linux", Architecture: arch, Variant: variant}
		s := namedSource{filepath.Join(root, arch+variant), "v1"}
		write(t, s.Dir, image, Name{Tag: s.Tag})
		return s
	}
	amd64, arm64, armv7 := source("amd64", ""), source("arm64", ""), source("arm", "v7")
	dir := filepath.Join(root, "joined")
	first, err := publishIndex(t, dir, "all", arm64, amd64, armv7)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range first.Platforms {
		got = append(got, platformName(p))
	}
	if s := strings.Join(got, " "); s != "linux/amd64 linux/arm/v7 linux/arm64" {
		t.Errorf("the index is for %s", s)
	}
	for i, want := range []int{1, 2, 0} {
		if p := first.Parts[i]; len(p.Sources) != 1 || p.Sources[0] != want {
			t.Errorf("part %d comes from the sources %v; want %d", i, p.Sources, want)
		}
	}
	index := readIndexBlob(t, dir, first.Descriptor.Digest)
	if len(index.Manifests) != 3 || index.MediaType != ispec.MediaTypeImageIndex || index.Annotations["k"] != "v" ||
		index.Manifests[0].Annotations != nil || index.Manifests[0].Platform.Architecture != "amd64" {
		t.Errorf("the index is %+v", index)
	}

	// The result must not depend on the order, on duplicates, nor on images coming from an index or from the layout itself.
	for name, sources := range map[string][]namedSource{
		"order":  {armv7, amd64, arm64},
		"nested": {{dir, "all"}},
		"again":  {{dir, "all"}, amd64, {dir, "all"}, arm64},
		"place":  {{amd64.Dir, ""}, armv7, arm64},
	} {
		for _, to := range []string{dir, filepath.Join(root, "to-"+name)} {
			if j, err := publishIndex(t, to, name, sources...); err != nil || j.Descriptor.Digest != first.Descriptor.Digest {
				t.Errorf("%s: AddIndex = %s, %v; want %s", name, j.Descriptor.Digest, err, first.Descriptor.Digest)
			}
		}
	}

	arm64v8 := source("arm64", "v8")
	other := sampleImage(t, 2)
	other.Platform = ispec.Platform{OS: "linux", Architecture: "amd64"}
	write(t, filepath.Join(root, "other"), other, Name{Tag: "v1"})
	for name, test := range map[string]struct {
		sources []namedSource
		want    []string
	}{
		"two for one platform": {[]namedSource{amd64, {filepath.Join(root, "other"), "v1"}}, []string{"are both for linux/amd64", `amd64:v1`, `other:v1`}},
		"one platform of two names, and another": {[]namedSource{amd64, arm64, arm64v8, {filepath.Join(root, "other"), "v1"}},
			[]string{"are both for linux/amd64", "are both for linux/arm64/v8"}},
		"no such image": {[]namedSource{{amd64.Dir, "v2"}}, []string{`find image "v2" in layout`, "there is no such image"}},
		"no layout":     {[]namedSource{{filepath.Join(root, "none"), "v2"}}, []string{"no such file"}},
	} {
		_, err := publishIndex(t, dir, "bad", test.sources...)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", name, err, want)
			}
		}
	}

	// Replacing the index must remove the blobs that only it needed.
	before := len(names(t, filepath.Join(dir, blobs)))
	for _, tag := range []string{"order", "nested", "again", "place"} {
		if _, err := publishIndex(t, dir, tag, arm64); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publishIndex(t, dir, "all", arm64); err != nil {
		t.Fatal(err)
	}
	after := names(t, filepath.Join(dir, blobs))
	m := readManifest(t, dir, readIndexBlob(t, dir, taggedAll(t, dir)).Manifests[0])
	if want := len(m.Layers) + 3; len(after) != want {
		t.Errorf("%d blobs of %d are left; want %d", len(after), before, want)
	}
}

// taggedAll returns the digest of the index with the tag all.
func taggedAll(t *testing.T, dir string) digest.Digest {
	t.Helper()
	index, err := readIndex(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := findImage(index.Manifests, "all")
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// TestAddIndexForeign checks that attestations come with their images, that only OCI images are accepted, and that damage is noticed.
func TestAddIndexForeign(t *testing.T) {
	f := newForeign(t)
	image := f.image(false, ispec.Image{}, []string{"f a x"})
	attestation := f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{MediaType: ispec.MediaTypeImageManifest,
		Config: f.blob(ispec.MediaTypeImageConfig, mustJSON(t, ispec.Image{Platform: ispec.Platform{OS: "unknown", Architecture: "unknown"}})),
		Layers: []ispec.Descriptor{f.blob("application/vnd.in-toto+json", []byte("{}"))}}))
	attestation.Platform = &ispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{AnnotationReference: image.Digest.String()}
	built := f.blob(ispec.MediaTypeImageIndex, mustJSON(t, ispec.Index{Manifests: []ispec.Descriptor{attestation, image}}))
	called := image // an attestation of itself
	called.Platform, called.Annotations = attestation.Platform, attestation.Annotations
	both := f.blob(ispec.MediaTypeImageIndex, mustJSON(t, ispec.Index{Manifests: []ispec.Descriptor{called, image}}))
	docker := f.image(true, ispec.Image{}, []string{"f a x"})
	nothing := f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{Config: f.blob(ispec.MediaTypeImageConfig, []byte("{}"))}))
	subject := f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{Subject: &image}))
	var all []ispec.Descriptor
	for tag, d := range map[string]ispec.Descriptor{"built": built, "both": both, "docker": docker, "nothing": nothing, "subject": subject, "image": image} {
		d.Annotations = map[string]string{ispec.AnnotationRefName: tag}
		all = append(all, d)
	}
	f.index(all...)
	dir := filepath.Join(t.TempDir(), "joined")
	j, err := publishIndex(t, dir, "all", namedSource{f.dir, "built"})
	if err != nil || len(j.Platforms) != 1 {
		t.Fatalf("AddIndex = %+v, %v; want one platform", j, err)
	}
	if m := readIndexBlob(t, dir, j.Descriptor.Digest).Manifests; len(m) != 2 || m[1].Digest != attestation.Digest || !IsAttestation(m[1]) {
		t.Errorf("the index has %+v; want the attestation last", m)
	}
	j, err = publishIndex(t, dir, "both", namedSource{f.dir, "both"})
	if err != nil {
		t.Fatal(err)
	}
	if m := readIndexBlob(t, dir, j.Descriptor.Digest).Manifests; len(m) != 1 || m[0].Digest != image.Digest || IsAttestation(m[0]) {
		t.Errorf("the index of what is both has %+v; want the image alone", m)
	}
	for tag, want := range map[string]string{
		"docker":  "an index is of OCI images",
		"nothing": "does not say which platform",
		"subject": "is not an image by itself",
	} {
		if _, err := publishIndex(t, dir, "bad", namedSource{f.dir, tag}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", tag, err, want)
		}
	}
	var m ispec.Manifest
	b, err := os.ReadFile(filepath.Join(f.dir, blobs, image.Digest.Encoded()))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(f.dir, blobs, m.Layers[0].Digest.Encoded())
	layer, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	layer[len(layer)/2] ^= 1
	if err := os.WriteFile(name, layer, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := publishIndex(t, dir, "bad", namedSource{f.dir, "image"}); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("with a damaged layer: %v", err)
	}
}
