package ocilayout

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/cas/dir"
	"github.com/opencontainers/umoci/oci/casext"
)

func newEngine(t *testing.T) *engine {
	t.Helper()
	e, err := createEngine(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestEngineStatBlob(t *testing.T) {
	e := newEngine(t)
	t.Chdir(t.TempDir())
	d, n, err := e.PutBlob(t.Context(), strings.NewReader("content"))
	if want := digest.FromString("content"); d != want || n != 7 || err != nil {
		t.Fatalf("PutBlob = %s, %d, %v; want %s, 7, <nil>", d, n, err, want)
	}
	if ok, err := e.StatBlob(t.Context(), d); !ok || err != nil {
		t.Errorf("StatBlob(%s) = %v, %v; want true, <nil>", d, ok, err)
	}
	if ok, err := e.StatBlob(t.Context(), digest.FromString("other")); ok || err != nil {
		t.Errorf("StatBlob of a missing blob = %v, %v; want false, <nil>", ok, err)
	}
	for _, bad := range []digest.Digest{"", "sha256:../../index.json", "sha512:00", digest.Canonical.FromString("x")[:40]} {
		if ok, err := e.StatBlob(t.Context(), bad); ok || err == nil {
			t.Errorf("StatBlob(%q) = %v, %v; want an error", bad, ok, err)
		}
	}

	// If this fails, the method is no longer needed.
	plain, err := dir.Open(e.dir)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := plain.StatBlob(t.Context(), d); ok {
		t.Error("umoci's StatBlob finds a blob")
	}
}

// TestEngineParallel matters with -race.
func TestEngineParallel(t *testing.T) {
	e := newEngine(t)
	var puts sync.WaitGroup
	for i := range 16 {
		puts.Go(func() {
			if _, _, err := e.PutBlob(t.Context(), strings.NewReader(fmt.Sprint(i%4))); err != nil {
				t.Error(err)
			}
		})
	}
	puts.Wait()
	if all, err := e.ListBlobs(t.Context()); len(all) != 4 || err != nil {
		t.Errorf("ListBlobs = %v, %v; want 4, <nil>", all, err)
	}
	if got := names(t, e.dir); !cmp.Equal(got, []string{"blobs", "index.json", "oci-layout"}) {
		t.Errorf("the layout has %q", got)
	}
	if got := names(t, filepath.Join(e.dir, "blobs")); !cmp.Equal(got, []string{"sha256"}) {
		t.Errorf("blobs has %q", got)
	}
}

func TestEngineModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	e := newEngine(t)
	d, _, err := e.PutBlob(t.Context(), strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.PutIndex(t.Context(), ispec.Index{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		".": 0o755, "blobs": 0o755, "blobs/sha256": 0o755,
		"index.json": 0o644, "oci-layout": 0o644, "blobs/sha256/" + d.Encoded(): 0o644,
	} {
		fi, err := os.Stat(filepath.Join(e.dir, name))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, fi.Mode().Perm(), err, want)
		}
	}
}

func TestEngineClose(t *testing.T) {
	e := newEngine(t)
	if err := e.PutIndex(t.Context(), ispec.Index{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if got := names(t, e.dir); !cmp.Equal(got, []string{"blobs", "index.json", "oci-layout"}) {
		t.Errorf("after Close the layout has %q", got)
	}
	index, err := e.GetIndex(t.Context())
	if err != nil || index.SchemaVersion != 2 {
		t.Errorf("GetIndex = %+v, %v; want schemaVersion 2", index, err)
	}
}

func TestEnginePutFails(t *testing.T) {
	e := newEngine(t)
	broken := errors.New("broken")
	if _, _, err := e.PutBlob(t.Context(), errReader{broken}); !errors.Is(err, broken) {
		t.Errorf("PutBlob: %v; want %v", err, broken)
	}
	if got := names(t, filepath.Join(e.dir, "blobs")); !cmp.Equal(got, []string{"sha256"}) {
		t.Errorf("after an error blobs has %q", got)
	}
	if _, err := e.GetBlob(t.Context(), digest.FromString("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("GetBlob of a missing blob: %v; want %v", err, fs.ErrNotExist)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestReachable checks that reachable finds everything that is certain, and otherwise returns an error and never panics.
func TestReachable(t *testing.T) {
	var printed bytes.Buffer // collects what umoci would log
	defer log.SetOutput(log.Writer())
	log.SetOutput(&printed)
	e := newEngine(t)
	put := func(mediaType string, v any) ispec.Descriptor {
		d, n, err := casext.NewEngine(e).PutBlobJSON(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: n}
	}
	blob := func(s string) ispec.Descriptor {
		return ispec.Descriptor{MediaType: "x", Digest: digest.FromString(s), Size: int64(len(s))} // the blob need not exist
	}
	manifest := put(ispec.MediaTypeImageManifest, ispec.Manifest{Config: blob("config"), Layers: []ispec.Descriptor{blob("layer"), blob("other")}})
	referrer := put(ispec.MediaTypeImageManifest, ispec.Manifest{Config: blob("empty"), Subject: &manifest})
	index := put(ispec.MediaTypeImageIndex, ispec.Index{Manifests: []ispec.Descriptor{manifest, referrer}})
	nested := index
	for range 20 {
		nested = put(ispec.MediaTypeImageIndex, ispec.Index{Manifests: []ispec.Descriptor{nested}})
	}
	docker := put("application/vnd.docker.distribution.manifest.v2+json", ispec.Manifest{Config: blob("config")})
	cut := put(ispec.MediaTypeImageManifest, ispec.Manifest{Annotations: map[string]string{"long": strings.Repeat("x", 100)}})
	if err := os.WriteFile(e.path(cut.Digest), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	changed := put(ispec.MediaTypeImageManifest, ispec.Manifest{Annotations: map[string]string{"y": "y"}})
	b, err := os.ReadFile(e.path(changed.Digest))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.path(changed.Digest), bytes.ReplaceAll(b, []byte("y"), []byte("z")), 0o644); err != nil {
		t.Fatal(err)
	}
	longer := manifest
	longer.Size--
	text := put(ispec.MediaTypeImageManifest, "no manifest")
	missing := blob("missing")
	missing.MediaType = ispec.MediaTypeImageManifest
	huge := missing
	huge.Size = 1 << 40

	for _, test := range []struct {
		name  string
		roots []ispec.Descriptor
		want  []ispec.Descriptor // nil: an error
	}{
		{"nothing", nil, []ispec.Descriptor{}},
		{"manifest", []ispec.Descriptor{manifest}, []ispec.Descriptor{manifest, blob("config"), blob("layer"), blob("other")}},
		{"referrer", []ispec.Descriptor{referrer}, []ispec.Descriptor{referrer, blob("empty"), manifest, blob("config"), blob("layer"), blob("other")}},
		{"index", []ispec.Descriptor{index, index}, []ispec.Descriptor{index, referrer, blob("empty"), manifest, blob("config"), blob("layer"), blob("other")}},
		{"nested too deep", []ispec.Descriptor{nested}, nil},
		{"docker manifest", []ispec.Descriptor{docker}, nil},
		{"unknown type", []ispec.Descriptor{{Digest: manifest.Digest, Size: manifest.Size}}, nil},
		{"cut", []ispec.Descriptor{cut}, nil},
		{"changed", []ispec.Descriptor{changed}, nil},
		{"other size", []ispec.Descriptor{longer}, nil},
		{"other type", []ispec.Descriptor{text}, nil},
		{"missing", []ispec.Descriptor{missing}, nil},
		{"huge", []ispec.Descriptor{huge}, nil},
		{"no digest", []ispec.Descriptor{{MediaType: ispec.MediaTypeImageManifest}}, nil},
		{"odd digest", []ispec.Descriptor{{MediaType: ispec.MediaTypeImageManifest, Digest: "sha256:../x"}}, nil},
	} {
		got, err := reachable(t.Context(), e, test.roots)
		var want map[digest.Digest]bool
		if test.want != nil {
			want = make(map[digest.Digest]bool)
			for _, d := range test.want {
				want[d.Digest] = true
			}
		}
		if d := cmp.Diff(want, got); d != "" || (err == nil) != (test.want != nil) {
			t.Errorf("reachable(%s): %v (-want +got):\n%s", test.name, err, d)
		}
	}
	if printed.Len() > 0 {
		t.Errorf("reachable prints %s", &printed)
	}
}

// TestEngineTrapsRemain fails once umoci's own search for reachable blobs is good enough to use.
func TestEngineTrapsRemain(t *testing.T) {
	var printed bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&printed)
	e := casext.NewEngine(newEngine(t))
	layer, n, err := e.PutBlob(t.Context(), strings.NewReader("layer"))
	if err != nil {
		t.Fatal(err)
	}
	m := ispec.Manifest{Layers: []ispec.Descriptor{{MediaType: "x", Digest: layer, Size: n}}}
	d, n, err := e.PutBlobJSON(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	root := ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: d, Size: n}
	if err := e.Walk(t.Context(), root, func(casext.DescriptorPath) error { return nil }); err != nil || printed.Len() == 0 {
		t.Errorf("umoci's Walk prints %q, %v", &printed, err)
	}
	seen := 0
	root.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
	if err := e.Walk(t.Context(), root, func(casext.DescriptorPath) error { seen++; return nil }); err != nil || seen != 1 {
		t.Errorf("umoci's Walk sees %d blobs of a Docker manifest, %v", seen, err)
	}
}

// TestNewBlobBeside checks that an unfinished blob is never in the layout, where it would stay if it could not be removed.
func TestNewBlobBeside(t *testing.T) {
	dir := t.TempDir()
	e, err := createEngine(filepath.Join(dir, stagingLayout))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	before := listing(t, e.dir)
	f, err := e.newBlob()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, listing(t, e.dir)); diff != "" {
		t.Errorf("an unfinished blob is in the layout (-before +after):\n%s", diff)
	}
	f.discard()
	if got := names(t, dir); !cmp.Equal(got, []string{stagingLayout}) {
		t.Errorf("after discard there is %q", got)
	}
}
