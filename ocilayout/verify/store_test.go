package verify

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// storeLayer is a layer of a test image: its history entry, and the files as storeTar reads them.
type storeLayer struct{ createdBy, comment, files string }

// putImage puts an image into m and returns the descriptor of the manifest.
func (m memory) putImage(t *testing.T, layers ...storeLayer) ispec.Descriptor {
	t.Helper()
	config := ispec.Image{Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ispec.RootFS{Type: "layers"}}
	manifest := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest}
	manifest.SchemaVersion = 2
	for _, l := range layers {
		h := ispec.History{CreatedBy: l.createdBy, Comment: l.comment}
		d := m.put(ispec.MediaTypeImageLayer, string(storeTar(t, l.files)))
		config.History, config.RootFS.DiffIDs = append(config.History, h), append(config.RootFS.DiffIDs, d.Digest)
		manifest.Layers = append(manifest.Layers, d)
	}
	doc := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	manifest.Config = m.put(ispec.MediaTypeImageConfig, doc(config))
	return m.put(ispec.MediaTypeImageManifest, doc(manifest))
}

// shown collects what Options.File shows.
type shown struct {
	mu  sync.Mutex
	all []string
}

type shownFile struct {
	bytes.Buffer
	s    *shown
	name string
}

func (f *shownFile) Close() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.all = append(f.s.all, fmt.Sprintf("%s %d", f.name, f.Len()))
	return nil
}

func (s *shown) file(_ string, e rootfs.Entry) io.WriteCloser {
	if strings.HasPrefix(e.Path, "skip") {
		return nil
	}
	return &shownFile{s: s, name: e.Path}
}

const storeDirs = "nix/ nix/store/"

// storeTar makes a tar: a name that ends in a slash is a directory, NAME=N a file of N bytes, and NAME>TARGET a link.
func storeTar(t *testing.T, names string) []byte {
	var headers []tar.Header
	for word := range strings.FieldsSeq(names) {
		name, size, _ := strings.Cut(word, "=")
		link, target, isLink := strings.Cut(word, ">")
		switch {
		case isLink:
			headers = append(headers, tar.Header{Name: link, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
		case strings.HasPrefix(name, "nix/store/") && strings.HasSuffix(name, "/") && name != "nix/store/":
			headers = append(headers, dir(name, 0o555))
		case strings.HasSuffix(name, "/"):
			headers = append(headers, dir(name, 0o755))
		default:
			n, err := strconv.ParseInt(cmp.Or(size, "0"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			headers = append(headers, reg(name, n))
		}
	}
	return tarOf(t, headers...)
}

const ownTar = storeDirs + " nix/store/a/ nix/store/a/f=7 nix/store/b=2"

func TestStore(t *testing.T) {
	own := storeLayer{"export-profile", "a:7 b:2:changed", ownTar}
	a, b := Object{"a", "nix/store/a nix/store/a/f ", 7, 0, false}, Object{"b", "nix/store/b ", 2, 0, true}
	at := func(o Object, layer int) Object { o.Layer = layer; return o }
	for _, tt := range []struct {
		name    string
		layers  []storeLayer
		stacked bool
		want    []Object
		shown   []string
	}{
		{name: "own", layers: []storeLayer{own}, want: []Object{a, b}},
		{name: "base files", layers: []storeLayer{{"export-profile", "base:4 a:7", "etc/ etc/f=3 etc/g>/x " + storeDirs + " nix/store/a/ nix/store/a/f=7 skip=1"}},
			want: []Object{a}, shown: []string{"etc/f 3", "etc/g 2"}},
		{name: "hidden", layers: []storeLayer{own, {"export-profile", "c:1 -a", storeDirs + " nix/store/.wh.a nix/store/c=1"}},
			want: []Object{b, {"c", "nix/store/c ", 1, 1, false}}},
		{name: "of another program", layers: []storeLayer{{"COPY", "", "x=5 x2>x " + storeDirs + " nix/store/z=4 skip=9"}, own}, stacked: true,
			want: []Object{at(a, 1), at(b, 1), {"z", "nix/store/z ", 4, 0, false}}, shown: []string{"nix/store/z 4", "x 5", "x2 1"}},
		{name: "spread", layers: []storeLayer{{"COPY", "", storeDirs + " nix/store/z/ nix/store/z/f=4"}, {"COPY", "", "nix/store/z/g=1"}}, stacked: true,
			want: []Object{{"z", "", 0, 0, false}}, shown: []string{"nix/store/z/f 4", "nix/store/z/g 1"}},
		{name: "changes", layers: []storeLayer{own, {"export-profile: add x", "", storeDirs + " nix/store/a/ nix/store/a/g=1"}}, stacked: true,
			want: []Object{{"a", "", 0, 1, true}, b}, shown: []string{"nix/store/a/g 1"}},
		{name: "through a link", layers: []storeLayer{own, {"COPY", "", "l>nix/store"}, {"COPY", "", "l/z=1"}}, stacked: true,
			want: []Object{a, b, {"z", "", 0, 2, false}}, shown: []string{"l 9", "l/z 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := make(memory)
			c := newClaims(m.open)
			if err := c.follow(t.Context(), m.putImage(t, tt.layers...), "index.json", 0, false); err != nil {
				t.Fatal(err)
			}
			s := &shown{}
			o := Options{Store: true, Hash: listing, File: s.file}
			r, err := c.Check(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Problems {
				t.Errorf("problem: %v", p)
			}
			if r.Images[0].Stacked != tt.stacked || len(r.Images[0].Blobs) != len(tt.layers) {
				t.Errorf("Stacked = %v, with blobs %q; want %v", r.Images[0].Stacked, r.Images[0].Blobs, tt.stacked)
			}
			got := r.Images[0].Store
			if tt.stacked {
				if got, err = c.ReadStore(t.Context(), r.Images[0], o); err != nil {
					t.Fatal(err)
				}
			}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Errorf("objects (-want +got):\n%s", d)
			}
			slices.Sort(s.all)
			if d := gocmp.Diff(tt.shown, s.all); d != "" {
				t.Errorf("files shown (-want +got):\n%s", d)
			}
		})
	}
}

// TestStoreReplaced checks that layers cannot replace each other's objects in a way that the histories do not tell:
// with hashes that begin alike, or with a link or a file in place of the store.
func TestStoreReplaced(t *testing.T) {
	sameDigits := func(t rootfs.Tree, root string) (string, int64, error) {
		hex, size, err := listing(t, root)
		return "0123456789ab" + hex, size, err
	}
	first := storeLayer{"export-profile", "a@0123456789ab:7", storeDirs + " nix/store/a/ nix/store/a/f=7"}
	for _, tt := range []struct {
		name, comment, files, want string
	}{
		{"same object", first.comment, first.files, ""},
		{"other object", first.comment, storeDirs + " nix/store/a/ nix/store/a/g=7", `"nix/store/a": differs from the object in layer 1, which is not hidden`},
		{"store a link", "base:0", "nix/ nix/store>/srv x=0", `"nix/store": is not a directory, and hides the store objects of all other layers`},
		{"store a file", "base:0", "nix/ nix/store=0 x=0", `"nix/store": is not a directory, and hides`},
		{"nix a link", "base:0", "nix>/srv x=0", `"nix": is not a directory, and hides`},
	} {
		m := make(memory)
		c := newClaims(m.open)
		if err := c.follow(t.Context(), m.putImage(t, first, storeLayer{"export-profile", tt.comment, tt.files}), "index.json", 0, false); err != nil {
			t.Fatal(err)
		}
		r, err := c.Check(t.Context(), Options{Hash: sameDigits})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, p := range r.Problems {
			lines = append(lines, p.String())
		}
		if tt.want == "" && lines != nil || tt.want != "" && (len(lines) == 0 || !strings.Contains(lines[0], tt.want)) {
			t.Errorf("%s: problems %q; want %q", tt.name, lines, tt.want)
		}
	}
}

// TestReadStoreFails checks that a blob that cannot be read is another error than contents that fit no tree.
func TestReadStoreFails(t *testing.T) {
	m := make(memory)
	d := m.putImage(t, storeLayer{"COPY", "", "a=1"}, storeLayer{"COPY", "", "b/ b/c=1"})
	broken := errors.New("broken")
	var fail error
	c := newClaims(func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		if fail != nil {
			return nil, fail
		}
		return m.open(ctx, d)
	})
	if err := c.follow(t.Context(), d, "index.json", 0, false); err != nil {
		t.Fatal(err)
	}
	r := ImageReport{Digest: d.Digest}
	if _, err := c.ReadStore(t.Context(), r, Options{Hash: listing}); err != nil {
		t.Errorf("ReadStore: %v", err)
	}
	fail = broken
	if _, err := c.ReadStore(t.Context(), r, Options{Hash: listing}); !errors.Is(err, broken) || errors.As(err, new(*UnreadableError)) {
		t.Errorf("ReadStore without its blobs: %v; want %v, and no UnreadableError", err, broken)
	}
	fail = nil
	m[d.Digest] = []byte("{}")
	if _, err := c.ReadStore(t.Context(), r, Options{Hash: listing}); !errors.As(err, new(*UnreadableError)) {
		t.Errorf("ReadStore of another manifest: %v; want an UnreadableError", err)
	}
	if _, err := c.ReadStore(t.Context(), ImageReport{}, Options{Hash: listing}); !errors.As(err, new(*UnreadableError)) {
		t.Errorf("ReadStore of an image that is not there: %v; want an UnreadableError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ReadStore(ctx, r, Options{Hash: listing}); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadStore, cancelled: %v; want %v", err, context.Canceled)
	}
}

// TestManifests checks what an index and a layout say about their images.
func TestManifests(t *testing.T) {
	m := make(memory)
	image := m.putImage(t, storeLayer{"COPY", "", "a=1"})
	attestation := image
	attestation.Annotations = map[string]string{"vnd.docker.reference.digest": image.Digest.String()}
	attestation.Platform = &ispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Digest = "sha256:" + digest.Digest(strings.Repeat("7", 64))
	index, err := json.Marshal(ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{image, attestation}})
	if err != nil {
		t.Fatal(err)
	}
	top := m.put(ispec.MediaTypeImageIndex, string(index))
	c := newClaims(m.open)
	tagged := func(d ispec.Descriptor, tag string) ispec.Descriptor {
		d.Annotations = map[string]string{ispec.AnnotationRefName: tag}
		return d
	}
	layout, err := json.Marshal(ispec.Index{Manifests: []ispec.Descriptor{tagged(top, "v1"), tagged(image, "v2"), tagged(top, "v3")}})
	if err != nil {
		t.Fatal(err)
	}
	layout = []byte(strings.Replace(string(layout), `"schemaVersion":0`, `"schemaVersion":2`, 1))
	if _, err := c.readLayout(t.Context(), "v1", func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layout)), nil
	}); err != nil {
		t.Fatal(err)
	}
	images, indexes := c.Manifests()
	if !slices.Equal(images, []digest.Digest{image.Digest}) {
		t.Errorf("images: %v; want %v", images, image.Digest)
	}
	want := []Part{{image.Digest, ispec.MediaTypeImageManifest, false}, {attestation.Digest, ispec.MediaTypeImageManifest, true}}
	if d := gocmp.Diff(map[digest.Digest][]Part{top.Digest: want}, indexes); d != "" {
		t.Errorf("indexes (-want +got):\n%s", d)
	}
	if d := gocmp.Diff([]string{"v1", "v3"}, c.Tags()); d != "" {
		t.Errorf("Tags (-want +got):\n%s", d)
	}
}
