package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// memory holds blobs in memory.
type memory map[digest.Digest][]byte

func (m memory) open(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
	b, ok := m[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m memory) put(mediaType, doc string) ispec.Descriptor {
	d := digest.FromString(doc)
	m[d] = []byte(doc)
	return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(doc))}
}

func indexOf(entries ...ispec.Descriptor) string {
	index := ispec.Index{Manifests: entries}
	index.SchemaVersion = 2
	b, _ := json.Marshal(index)
	return string(b)
}

func checkAll(t *testing.T, m memory, roots ...ispec.Descriptor) (*Claims, []string) {
	t.Helper()
	c := newClaims(m.open)
	for _, d := range roots {
		if err := c.follow(t.Context(), d, "index.json", 0, false); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.Check(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, p.String())
	}
	return c, lines
}

func wantOne(t *testing.T, what string, lines []string, want string) {
	t.Helper()
	if len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("%s: problems %q; want one with %q", what, lines, want)
	}
}

// TestIndexes checks that indexes in indexes are read, up to maxIndexes.
func TestIndexes(t *testing.T) {
	m := memory{}
	d := m.put(ispec.MediaTypeImageManifest, `{}`)
	for i := range maxIndexes + 2 {
		d = m.put(ispec.MediaTypeImageIndex, indexOf(d))
		_, lines := checkAll(t, m, d)
		if i < maxIndexes {
			if len(lines) < 3 || !strings.Contains(lines[0], "schemaVersion: is missing") {
				t.Errorf("%d indexes: problems %q; want those of the manifest", i+1, lines)
			}
			continue
		}
		wantOne(t, fmt.Sprintf("%d indexes", i+1), lines, "too many images, or too deeply nested indexes")
	}
}

// TestManyImages checks that only maxImages images are read.
func TestManyImages(t *testing.T) {
	m := memory{}
	var roots []ispec.Descriptor
	for i := range maxImages + 1 {
		roots = append(roots, m.put(ispec.MediaTypeImageIndex, fmt.Sprintf(`{"schemaVersion":2,"manifests":[],"annotations":{"n":"%d"}}`, i)))
	}
	_, lines := checkAll(t, m, roots...)
	wantOne(t, "many images", lines, "too many images")
}

// TestSharedLayer checks that a layer of two images is read once, and reported with both.
func TestSharedLayer(t *testing.T) {
	m := memory{}
	config := m.put(ispec.MediaTypeImageConfig, fmt.Sprintf(`{"os":"linux","architecture":"arm","rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromString("x")))
	layer := m.put(ispec.MediaTypeImageLayer, string(tarOf(t, reg("a", 3))))
	var roots []ispec.Descriptor
	for _, a := range []string{"a", "b"} {
		roots = append(roots, m.put(ispec.MediaTypeImageManifest, fmt.Sprintf(
			`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}],"annotations":{"a":%q}}`,
			config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size, a)))
	}
	c, lines := checkAll(t, m, roots...)
	if len(c.layers) != 1 || len(lines) != 2 || c.Size() != layer.Size {
		t.Errorf("%d layers of %d bytes with problems %q; want 1 of %d with two problems", len(c.layers), c.Size(), lines, layer.Size)
	}
}

// TestLargeDocument checks that a document above a limit is not parsed.
func TestLargeDocument(t *testing.T) {
	m := memory{}
	_, lines := checkAll(t, m, m.put(ispec.MediaTypeImageIndex, strings.Repeat(" ", ocilayout.MaxDocument+1)))
	wantOne(t, "large document", lines, "too many for a document")

	c := newClaims(m.open)
	c.read = maxDocuments
	if err := c.follow(t.Context(), m.put(ispec.MediaTypeImageIndex, `{}`), "index.json", 0, false); err != nil {
		t.Fatal(err)
	}
	if len(c.found.list) != 1 || !strings.Contains(c.found.list[0].What, "is not checked") {
		t.Errorf("documents above the limit: problems %v; want one", c.found.list)
	}
}

// TestReadAttestation checks that an attestation of BuildKit does not count as an image, but its digests are compared.
func TestReadAttestation(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		m := memory{}
		statement := m.put("application/vnd.in-toto+json", `{"a":1}`)
		config := m.put(ispec.MediaTypeImageConfig, `{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":["`+string(statement.Digest)+`"]}}`)
		manifest := m.put(ispec.MediaTypeImageManifest, fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
			config.MediaType, config.Digest, config.Size, statement.MediaType, statement.Digest, statement.Size))
		manifest.Annotations = map[string]string{ocilayout.AnnotationReference: "sha256:1"}
		manifest.Platform = &ispec.Platform{OS: "unknown", Architecture: "unknown"}
		if damaged {
			m[statement.Digest] = []byte(`{"a":2}`)
		}
		index := m.put(ispec.MediaTypeImageIndex, indexOf(manifest))
		c, lines := checkAll(t, m, index)
		if damaged {
			wantOne(t, "a damaged attestation", lines, "has the digest")
		} else if len(lines) > 0 {
			t.Errorf("an attestation: problems %q; want none", lines)
		}
		if r, err := c.Check(t.Context(), Options{}); err != nil || len(r.Images) != 0 {
			t.Errorf("Check = %+v, %v; want no image", r, err)
		}
	}
}

// TestFalseAttestation checks that an image which claims to be an attestation is an image, if some client takes it for one.
func TestFalseAttestation(t *testing.T) {
	m := memory{}
	image := m.putImage(t, storeLayer{"COPY", "", "a=1"})
	other := m.putImage(t, storeLayer{"COPY", "", "a=2"})
	marked := func(platform *ispec.Platform, tag string) ispec.Descriptor {
		d := image
		d.Platform, d.Annotations = platform, map[string]string{ocilayout.AnnotationReference: other.Digest.String()}
		if tag != "" {
			d.Annotations[ispec.AnnotationRefName] = tag
		}
		return d
	}
	unknown, linux := &ispec.Platform{OS: "unknown", Architecture: "unknown"}, &ispec.Platform{OS: "linux", Architecture: "amd64"}
	nested := func(entries ...ispec.Descriptor) ispec.Descriptor {
		return m.put(ispec.MediaTypeImageIndex, indexOf(entries...))
	}
	for _, tt := range []struct {
		name    string
		tag     string
		entries []ispec.Descriptor // of index.json
		image   bool
	}{
		{"beside an image", "", []ispec.Descriptor{other, marked(unknown, "")}, false},
		{"in an index", "", []ispec.Descriptor{nested(other, marked(unknown, ""))}, false},
		{"with a tag", "", []ispec.Descriptor{other, marked(unknown, "v1")}, true},
		{"by its tag", "v1", []ispec.Descriptor{other, marked(unknown, "v1")}, true},
		{"alone", "", []ispec.Descriptor{marked(unknown, "")}, true},
		{"of a platform", "", []ispec.Descriptor{other, marked(linux, "")}, true},
		{"of no platform", "", []ispec.Descriptor{other, marked(nil, "")}, true},
		{"of a platform, in an index", "", []ispec.Descriptor{nested(other, marked(linux, ""))}, true},
		{"also as an image", "", []ispec.Descriptor{nested(other, marked(unknown, ""), image)}, true},
	} {
		c := newClaims(m.open)
		if _, err := c.readLayout(t.Context(), tt.tag, func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(indexOf(tt.entries...))), nil
		}); err != nil {
			t.Fatal(err)
		}
		r, err := c.Check(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		is := func(d digest.Digest) bool { return d == image.Digest }
		images, _ := c.Manifests()
		if got := slices.ContainsFunc(r.Images, func(i ImageReport) bool { return is(i.Digest) }); got != tt.image || slices.ContainsFunc(images, is) != tt.image {
			t.Errorf("%s: the images are %v, and in the report %+v; want the marked one: %v", tt.name, images, r.Images, tt.image)
		}
	}
}

// TestDamagedClaims checks that an invalid history entry of this program is a problem, also for a layer with changes.
func TestDamagedClaims(t *testing.T) {
	for by, want := range map[string]int{"export-profile": 1, "export-profile: add /etc/x": 1, "buildkit": 0} {
		img := &image{found: findings{limit: documentProblems}}
		config := ispec.Image{RootFS: ispec.RootFS{DiffIDs: []digest.Digest{digest.FromString("x")}}, History: []ispec.History{{CreatedBy: by, Comment: "no object"}}}
		if _, claims := newClaims(nil).layerClaims(img, "config", config, 1); claims[0] != nil || len(img.found.list) != want {
			t.Errorf("a damaged entry of %q: claim %v, problems %v; want %d problems and no claim", by, claims[0], img.found.list, want)
		}
	}
}

// TestTwoStoreDirs checks that an image has one store directory. Objects count by their names alone,
// so a layer could otherwise show one in a place where nothing compares it.
func TestTwoStoreDirs(t *testing.T) {
	for _, test := range []struct {
		comments []string
		dir      string
		problems int
	}{
		{[]string{"a:1", "b:1"}, "/nix/store", 0},
		{[]string{"/gnu/store a:1", "/gnu/store b:1"}, "/gnu/store", 0},
		{[]string{"/gnu/store a:1", "b:1"}, "/gnu/store", 1},
		{[]string{"a:1", "/gnu/store b:1", "/opt/store c:1"}, "/nix/store", 1},
		{[]string{"a:1", "/usr b:1"}, "/nix/store", 1}, // damaged
	} {
		img := &image{found: findings{limit: documentProblems}}
		var config ispec.Image
		for _, c := range test.comments {
			config.History = append(config.History, ispec.History{CreatedBy: "export-profile", Comment: c})
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromString(c))
		}
		newClaims(nil).layerClaims(img, "config", config, len(test.comments))
		if img.storeDir.String() != test.dir || len(img.found.list) != test.problems {
			t.Errorf("%q: %s, %v; want %s, %d problems", test.comments, img.storeDir, img.found.list, test.dir, test.problems)
		}
	}
}
