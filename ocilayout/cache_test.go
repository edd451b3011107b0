package ocilayout

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// unwalked returns an image whose parts must not be walked.
func unwalked(t *testing.T, image ImageSpec) ImageSpec {
	layers := slices.Clone(image.Layers)
	for i := range layers {
		layers[i].Parts = slices.Clone(layers[i].Parts)
		for j := range layers[i].Parts {
			p := &layers[i].Parts[j]
			name := p.Name
			p.Tree = func(func(rootfs.Entry, error) bool) { t.Errorf("%s is walked", name) }
		}
	}
	image.Layers = layers
	return image
}

func testCache(t *testing.T, dir string) *Cache {
	t.Helper()
	c, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writeCached makes an image visible, and returns where its layers came from and why.
func writeCached(t *testing.T, dir string, image ImageSpec, o Options) (_ ispec.Descriptor, hows, reasons string) {
	t.Helper()
	d, hows, reasons, err := writeCachedErr(t.Context(), dir, image, o)
	if err != nil {
		t.Fatal(err)
	}
	return d, hows, reasons
}

func writeCachedErr(ctx context.Context, dir string, image ImageSpec, o Options) (d ispec.Descriptor, hows, reasons string, err error) {
	var mu sync.Mutex
	o.Explain = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		reasons += fmt.Sprintf(format+"\n", args...)
	}
	l, err := Open(ctx, dir, o)
	if err != nil {
		return d, "", "", err
	}
	defer l.Close()
	if d, err = l.AddImage(ctx, image); err != nil {
		return d, "", reasons, err
	}
	var all []string
	for i, r := range l.Results() {
		all = append(all, r.How.String())
		if r.Name != image.Layers[i].title() || r.Size <= 0 {
			return d, "", reasons, fmt.Errorf("result %d is %+v", i, r)
		}
	}
	return d, strings.Join(slices.Compact(all), " "), reasons, l.Publish(ctx, d, Name{Tag: "v1"})
}

func with(image ImageSpec, compression string) ImageSpec {
	image.Compression = method(compression)
	return image
}

// TestCache checks that no layer is built twice, for any destination and any compression,
// and that the cache does not change the image.
func TestCache(t *testing.T) {
	image := sampleImage(t, 1)
	for _, first := range []string{"none", "gzip", "zstd", "zstd:chunked", "gzip:9"} {
		o := Options{Cache: testCache(t, filepath.Join(t.TempDir(), "cache"))}
		there := filepath.Join(t.TempDir(), "layout")
		d, how, reasons := writeCached(t, there, with(image, first), o)
		if how != "built" || strings.Count(reasons, errNotCached.Error()) != len(image.Layers) {
			t.Errorf("%s: first the layers are %s, and the reasons\n%s", first, how, reasons)
		}
		verify(t, there)
		if want := write(t, filepath.Join(t.TempDir(), "layout"), with(image, first), Name{Tag: "v1"}); d.Digest != want.Digest {
			t.Errorf("%s: the digest is %s, and without a cache %s", first, d.Digest, want.Digest)
		}
		for _, dir := range []string{there, filepath.Join(t.TempDir(), "layout")} {
			again, how, reasons := writeCached(t, dir, unwalked(t, with(image, first)), o)
			if how != "cached" || reasons != "" || again.Digest != d.Digest {
				t.Errorf("%s: again the digest is %s, the layers are %s, and the reasons\n%s", first, again.Digest, how, reasons)
			}
			verify(t, dir)
		}
		for _, second := range []string{"none", "gzip", "zstd:3", "zstd:chunked", "zstd:chunked:3"} {
			if second == first {
				continue
			}
			dir := filepath.Join(t.TempDir(), "layout")
			got, how, reasons := writeCached(t, dir, unwalked(t, with(image, second)), o)
			want := write(t, filepath.Join(t.TempDir(), "layout"), with(image, second), Name{Tag: "v1"})
			if how != "recompressed" || reasons != "" || got.Digest != want.Digest {
				t.Errorf("%s after %s: %s, want %s; the layers are %s, and the reasons\n%s", second, first, got.Digest, want.Digest, how, reasons)
			}
			verify(t, dir)
			if _, how, _ := writeCached(t, dir, unwalked(t, with(image, second)), o); how != "cached" {
				t.Errorf("%s after %s: the second time the layers are %s", second, first, how)
			}
		}
	}
}

// TestCacheCopies checks that blobs are copied if they cannot be linked.
func TestCacheCopies(t *testing.T) {
	image := sampleImage(t, 1)
	cache := testCache(t, t.TempDir())
	run := func(image ImageSpec) (d ispec.Descriptor, hows []How) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "layout")
		l, err := Open(t.Context(), dir, Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.linkable = false
		if d, err = l.AddImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		if err := l.Publish(t.Context(), d, Name{Tag: "v1"}); err != nil {
			t.Fatal(err)
		}
		verify(t, dir)
		for _, r := range l.Results() {
			hows = append(hows, r.How)
		}
		return d, hows
	}
	want, _ := run(image)
	if got, hows := run(unwalked(t, image)); got.Digest != want.Digest || slices.Contains(hows, Built) {
		t.Errorf("the digest is %s, and was %s; the layers are %v", got.Digest, want.Digest, hows)
	}
	if u, err := cache.Usage(); err != nil || u.Shared != 0 || u.Blobs != len(image.Layers) {
		t.Errorf("Usage = %+v, %v; want nothing shared", u, err)
	}
}

// cacheFiles lists the files of one kind.
func cacheFiles(t *testing.T, c *Cache, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, kind, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the cache has no %s, %v", kind, err)
	}
	return files
}

// TestTarRecordName checks that everything that changes the tar changes the key.
func TestTarRecordName(t *testing.T) {
	a, b := part("nix/store/a", file("nix/store/a", "a")), part("nix/store/b", file("nix/store/b", "b"))
	elsewhere, other := a, a
	elsewhere.Root = "nix/store/c"
	other.Key = b.Key
	keys := make(map[string]int)
	for i, l := range []Layer{
		layerOf(a), layerOf(b), layerOf(a, b), layerOf(elsewhere), layerOf(other), layerOf(),
		{Hidden: []string{"nix/store/a"}}, {Parts: []rootfs.Part{a}, Hidden: []string{"nix/store/b"}},
	} {
		key, err := tarRecordName(l)
		if j, ok := keys[key]; ok || err != nil {
			t.Errorf("layers %d and %d have the key %s, %v", i, j, key, err)
		}
		keys[key] = i
	}
	a.Key = ""
	if key, err := tarRecordName(layerOf(b, a)); key != "" || err == nil {
		t.Errorf("tarRecordName of a part without a key = %q, %v; want an error", key, err)
	}
}

// TestCacheKeyless checks that a part without a key is never cached.
func TestCacheKeyless(t *testing.T) {
	image := sampleImage(t, 1)
	image.Layers = image.Layers[:1]
	image.Layers[0].Parts[0].Key = ""
	o := Options{Cache: testCache(t, t.TempDir())}
	for range 2 {
		_, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
		if want := "layer of 1111-lib and 1 more: nothing promises the content of 1111-lib\n"; how != "built" || reasons != want {
			t.Errorf("the layers are %s, and the reasons\n%s", how, reasons)
		}
	}
	if u, err := o.Cache.Usage(); u != (Usage{}) || err != nil {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}

// TestCacheCompressor checks that blobs of another version of the compressor are compressed again.
func TestCacheCompressor(t *testing.T) {
	image := with(sampleImage(t, 1), "zstd")
	dir := t.TempDir()
	cache := testCache(t, dir)
	if cache.compress == "" {
		t.Fatal("the compressor has an unknown version")
	}
	writeCached(t, filepath.Join(t.TempDir(), "layout"), image, Options{Cache: cache})
	cache.compress = "v99"
	for _, want := range []string{"built", "cached"} { // not recompressed: the cache has no other compression
		if want == "cached" {
			image = unwalked(t, image)
		}
		if _, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, Options{Cache: cache}); how != want {
			t.Errorf("with another version the layers are %s, want %s, and the reasons\n%s", how, want, reasons)
		}
	}
	cache.compress = ""
	_, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, 1), Options{Cache: cache})
	if how != "recompressed" {
		t.Errorf("with an unknown version the layers are %s, and the reasons\n%s", how, reasons)
	}
}

// TestCacheVerify checks that VerifyCache notices a cache with wrong content.
func TestCacheVerify(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	cache := testCache(t, t.TempDir())
	o := Options{Cache: cache, VerifyCache: true}
	for _, what := range []string{"empty", "full"} {
		if _, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o); how != "built" {
			t.Errorf("with a cache that is %s the layers are %s, and the reasons\n%s", what, how, reasons)
		}
	}
	key, err := tarRecordName(image.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	tar, err := cache.loadTar(key)
	if err != nil {
		t.Fatal(err)
	}
	name := blobRecordName(tar.DiffID, image.Compression)
	blob, err := cache.loadBlob(tar.DiffID, image.Compression)
	if err != nil {
		t.Fatal(err)
	}
	other := digest.FromString("other")
	for what, test := range map[string]struct {
		name   string
		record any
		want   string
	}{
		"diffID": {key, tarRecord{DiffID: other, Size: tar.Size}, "the diffID is " + tar.DiffID.String() + ", and was " + other.String()},
		"blob":   {name, blobRecord{Compressor: blob.Compressor, Digest: other, Size: blob.Size, ModTime: blob.ModTime}, "the blob of diffID " + tar.DiffID.String() + " is " + blob.Digest.String()},
	} {
		if err := cache.store(t.TempDir(), test.name, test.record); err != nil {
			t.Fatal(err)
		}
		_, _, _, err := writeCachedErr(t.Context(), filepath.Join(t.TempDir(), "layout"), image, o)
		if err == nil || !strings.HasPrefix(err.Error(), "write layer of "+image.Layers[0].title()+": verify cache: "+test.want) {
			t.Errorf("with another %s: %v", what, err)
		}
		for name, record := range map[string]any{key: tar, name: blob} {
			if err := cache.store(t.TempDir(), name, record); err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := os.OpenFile(cache.blob(blob.Digest), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "damage"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, _, _, err = writeCachedErr(t.Context(), filepath.Join(t.TempDir(), "layout"), image, o)
	if err == nil || !strings.Contains(err.Error(), "verify cache: blob "+blob.Digest.String()+" has changed") {
		t.Errorf("with a damaged blob: %v", err)
	}
}
