package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
)

func mustFind(t *testing.T, c *Client, r Reference) *ocilayout.ImageSource {
	t.Helper()
	s, err := c.Find(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// previousIn reads an image as the previous one.
func previousIn(t *testing.T, c *Client, r Reference) (*ocilayout.PreviousImage, error) {
	t.Helper()
	s, err := c.Find(t.Context(), r)
	if err != nil {
		return nil, err
	}
	return s.ReadPrevious(t.Context())
}

// forPlatform sets the architecture of an image.
func forPlatform(img ocilayout.ImageSpec, arch string) ocilayout.ImageSpec {
	img.Platform.Architecture = arch
	return img
}

// pushIndex joins images into an index and pushes it.
func pushIndex(ctx context.Context, t *testing.T, c *Client, to Reference, sources ...*ocilayout.ImageSource) (ispec.Descriptor, Stats, error) {
	t.Helper()
	p, err := c.Push(ctx, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ocilayout.OpenStaged(t.TempDir(), ocilayout.Options{Deliver: p.Blob})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j, err := l.AddIndex(ctx, sources, nil)
	if err != nil {
		return j.Descriptor, p.Stats(), err
	}
	b, err := l.Manifest(j.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Manifest(ctx, j.Descriptor, b, to.Tag)
	return j.Descriptor, p.Stats(), err
}

// TestBase builds an image over a base image in a registry. It checks that the base's layers are read once and then cached,
// and that they are sent only to another registry.
func TestBase(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	a, b := part("a", 1, 1<<20), part("b", 2, 1<<10)
	under := image(t, nil, "gzip", a)
	mustPush(t, c, f.at("base/amd64:v1"), nil, under)
	mustPush(t, c, f.at("base/arm64:v1"), nil, forPlatform(under, "arm64"))
	both, _, err := pushIndex(t.Context(), t, c, f.at("base/both:v1"), mustFind(t, c, f.at("base/amd64:v1")), mustFind(t, c, f.at("base/arm64:v1")))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := ocilayout.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	over := func(r Reference, cache *ocilayout.Cache) ocilayout.ImageSpec {
		t.Helper()
		s := mustFind(t, c, r)
		s.Open = cache.ReadThrough(s.Open)
		base, err := s.Read(t.Context(), ispec.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := base.Tree(t.Context(), ocilayout.TreeOptions{}); err != nil {
			t.Fatal(err)
		}
		img := image(t, nil, "gzip", b)
		img.Base = base
		return img
	}
	f.forget()
	first := over(f.at("base/both:v1"), cache)
	want := layoutDigest(t, first)
	if n := f.count("GET /v2/base/both/blobs/"); n != 2 {
		t.Errorf("%d blobs were read in %q; want config and layer once", n, f.requests)
	}
	f.forget()
	pinned := f.at("base/both")
	pinned.Digest = both.Digest
	second := over(pinned, cache)
	if got := layoutDigest(t, second); got != want || f.count("GET ") != 1 {
		t.Errorf("the image from the cache is %s, after %q; want %s after reading one manifest", got, f.requests, want)
	}
	if got := layoutDigest(t, over(f.at("base/amd64:v1"), nil)); got != want {
		t.Errorf("the image without a cache is %s; want %s", got, want)
	}

	f.forget()
	d, stats := mustPush(t, c, f.at("base/both:over"), nil, first)
	if d != want || stats.Present != 1 || stats.Sent != 2 || f.received > 100<<10 {
		t.Errorf("push to the base's repository: %s, %+v, %d bytes; want %s and no layer of the base sent", d, stats, f.received, want)
	}
	f.forget()
	if _, stats = mustPush(t, c, f.at("team/over:v1"), nil, over(f.at("base/both:v1"), nil)); stats.Mounted != 1 || stats.Sent != 2 {
		t.Errorf("push to another repository: %+v; want one mount", stats)
	}
	other := newFake(t)
	if d, stats = mustPush(t, c, other.at("team/over:v1"), nil, over(f.at("base/both:v1"), nil)); d != want || stats.Sent != 3 {
		t.Errorf("push to another registry: %s, %+v; want %s and three blobs sent", d, stats, want)
	}
}

// TestBaseDamaged checks that a blob of a base image with a wrong digest is refused.
func TestBaseDamaged(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	mustPush(t, c, f.at("base:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<20)))
	if _, err := c.Find(t.Context(), f.at("base:v2")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find = %v; want %v", err, fs.ErrNotExist)
	}
	for d, good := range f.all("base") {
		for name, bad := range map[string][]byte{"other": append([]byte{good[0] ^ 1}, good[1:]...), "longer": append(append([]byte(nil), good...), 0), "shorter": good[1:], "gone": nil} {
			f.put("base", d, bad)
			cache, err := ocilayout.OpenCache(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			s := mustFind(t, c, f.at("base:v1"))
			s.Open = cache.ReadThrough(s.Open)
			base, err := s.Read(t.Context(), ispec.Platform{})
			if err == nil {
				_, err = base.Tree(t.Context(), ocilayout.TreeOptions{})
			}
			if err == nil || name == "gone" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("base image with a blob that is %s: %v; want an error", name, err)
			}
		}
		f.put("base", d, good)
	}
}

// TestReadBreaks checks that a broken read continues, in registries with and without range requests.
func TestReadBreaks(t *testing.T) {
	for _, ranges := range []bool{false, true} {
		f := newFake(t)
		f.ranges = ranges
		f.Config.ErrorLog = log.New(io.Discard, "", 0)
		c := client(t, Options{})
		mustPush(t, c, f.at("x:v1"), nil, image(t, nil, "none", part("a", 1, 1<<20)))
		s := mustFind(t, c, f.at("x:v1"))
		var largest digest.Digest
		for d, b := range f.all("x") {
			if len(b) > 1<<19 {
				largest = d
			}
		}
		want := f.all("x")[largest]
		breaks := 0
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if breaks++; breaks > 2 {
				return false
			}
			if breaks == 2 && ranges {
				if r.Header.Get("Range") == "" {
					t.Error("the second request has no Range header")
				}
				return false
			}
			breakOff(w, want, 300<<10)
			return true
		}
		r, err := s.Open(t.Context(), ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: largest, Size: 5})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || digest.FromBytes(got) != largest {
			t.Errorf("ranges %v: read %d bytes, %v; want %d of %s", ranges, len(got), err, len(want), largest)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPushIndex checks that child manifests are pushed once and before the index,
// and that blobs of the repository are neither read nor sent.
func TestPushIndex(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	img := image(t, nil, "gzip", part("a", 1, 1<<20))
	arm := forPlatform(image(t, nil, "gzip", part("b", 2, 1<<10)), "arm64")
	dir := filepath.Join(t.TempDir(), "layout")
	l, err := ocilayout.Open(t.Context(), dir, ocilayout.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), arm)
	if err == nil {
		err = l.Publish(t.Context(), d, ocilayout.Name{Tag: "arm"})
	}
	if err != nil {
		t.Fatal(err)
	}
	inLayout, err := ocilayout.FindImage(t.Context(), dir, "arm")
	if err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, f.at("team/hello:amd64"), nil, img)
	inRegistry := mustFind(t, c, f.at("team/hello:amd64"))

	f.forget()
	index, stats, err := pushIndex(t.Context(), t, c, f.at("team/hello:v1"), inLayout, inRegistry)
	if err != nil {
		t.Fatal(err)
	}
	if f.tag("team/hello", "v1") != index.Digest || stats.Sent != 2 || stats.Present != 2 || f.count("PUT /v2/team/hello/manifests/") != 2 ||
		f.count("HEAD /v2/team/hello/blobs/") != 2 {
		t.Errorf("pushIndex: %+v after %q; want two blobs of the layout's image and two manifests sent", stats, f.requests)
	}
	var got ispec.Index
	if err := json.Unmarshal(f.manifests["team/hello"]["v1"], &got); err != nil || len(got.Manifests) != 2 || got.Manifests[0].Digest != f.tag("team/hello", "amd64") {
		t.Errorf("the index is %+v, %v; want both images", got, err)
	}

	f.forget()
	again, stats, err := pushIndex(t.Context(), t, c, f.at("team/other:v1"), mustFind(t, c, f.at("team/hello:v1")))
	if err != nil || again.Digest != index.Digest || stats.Mounted != 4 || f.received != 0 {
		t.Errorf("pushIndex to another repository: %s, %+v, %d bytes, %v; want %s and four mounts", again.Digest, stats, f.received, err, index.Digest)
	}

	// Blobs that the repository has lost are sent again, even if two manifests need them at the same time.
	sources := []*ocilayout.ImageSource{mustFind(t, c, f.at("team/hello:v1"))}
	lost := f.all("team/hello")
	for d := range lost {
		f.put("team/hello", d, nil)
	}
	f.mu.Lock()
	f.manifests["team/hello"] = map[string][]byte{}
	f.mu.Unlock()
	open := sources[0].Open
	sources[0].Open = func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		f.mu.Lock()
		m := f.manifests["team/other"][d.Digest.String()]
		f.mu.Unlock()
		if b := append(lost[d.Digest], m...); len(b) > 0 {
			return io.NopCloser(strings.NewReader(string(b))), nil
		}
		return open(ctx, d)
	}
	if _, stats, err = pushIndex(t.Context(), t, c, f.at("team/hello:v1"), sources...); err != nil || stats.Sent != 4 || f.tag("team/hello", "v1") != index.Digest {
		t.Errorf("pushIndex after the repository lost all: %+v, %v; want four blobs sent", stats, err)
	}
}

// TestPrevious checks that ReadPrevious reads an image of this program by tag and by digest, and refuses foreign and damaged ones.
func TestPrevious(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	d, _ := mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
	digested := f.at("team/hello")
	digested.Digest, digested.Tag = d, ""
	for _, r := range []Reference{f.at("team/hello:v1"), digested} {
		if p, err := previousIn(t, c, r); err != nil || p.Digest != d || len(p.Layers) != 1 {
			t.Errorf("ReadPrevious of %v = %v, %v; want %s", r, p, err, d)
		}
	}
	for _, name := range []string{"team/hello:v2", "nothing"} {
		if p, err := previousIn(t, c, f.at(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadPrevious of %s = %v, %v; want %v", name, p, err, fs.ErrNotExist)
		}
	}
	put := func(tag, body string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.manifests["team/hello"][tag] = []byte(body)
	}
	put("index", `{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	put("docker", `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}`)
	put("artifact", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"x"}}`)
	for _, tag := range []string{"index", "docker", "artifact"} {
		if p, err := previousIn(t, c, f.at("team/hello:"+tag)); !errors.Is(err, history.ErrForeign) {
			t.Errorf("ReadPrevious of %s = %v, %v; want %v", tag, p, err, history.ErrForeign)
		}
	}
	put("junk", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":[]}`)
	put("no-digest", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"../x","size":3}}`)
	put("huge", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+string(d)+`","size":99999999999}}`)
	put("negative", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+string(d)+`","size":-1}}`)
	for _, tag := range []string{"junk", "no-digest", "huge", "negative"} {
		if p, err := previousIn(t, c, f.at("team/hello:"+tag)); err == nil {
			t.Errorf("ReadPrevious of %s = %v, <nil>; want an error", tag, p)
		}
	}
	for d, b := range f.all("team/hello") { // one of them is the config
		f.put("team/hello", d, append([]byte{b[0] ^ 1}, b[1:]...))
	}
	if p, err := previousIn(t, c, f.at("team/hello:v1")); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("ReadPrevious with a wrong config = %v, %v; want an error", p, err)
	}
}

// TestReuseIntoLayout checks that layers of an image in a registry are fetched into a layout, even if connections break,
// and that blobs with wrong content are refused.
func TestReuseIntoLayout(t *testing.T) {
	f := newFake(t)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	c := client(t, Options{})
	a, b := part("a", 1, 1<<20), part("b", 2, 1<<10)
	img := image(t, nil, "gzip", a, b)
	mustPush(t, c, f.at("x:v1"), nil, img)
	previous, err := previousIn(t, c, f.at("x:v1"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	breaks := 0
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		mu.Lock()
		breaks++
		n := breaks
		mu.Unlock()
		blob := f.all("x")[digest.Digest(filepath.Base(r.URL.Path))]
		if n < 4 && len(blob) > 100<<10 {
			breakOff(w, blob, min(len(blob)-1, n*100<<10))
		}
		return false
	}
	next := image(t, previous, "gzip", unread(a), unread(b))
	if got, want := layoutDigest(t, next), f.tag("x", "v1"); got != want || breaks < 4 {
		t.Errorf("the layout has %s after %d requests for blobs; want %s after at least 4", got, breaks, want)
	}

	f.mu.Lock()
	f.fault = nil
	f.mu.Unlock()
	for d, blob := range f.all("x") {
		for name, bad := range map[string][]byte{"other": append([]byte{1}, blob[1:]...), "longer": append([]byte(nil), append(blob, 0)...)} {
			f.put("x", d, bad)
			l, err := ocilayout.Open(t.Context(), filepath.Join(t.TempDir(), "layout"), ocilayout.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.AddImage(t.Context(), next)
			if reused := d == previous.Layers[0].Descriptor.Digest || d == previous.Layers[1].Descriptor.Digest; reused && err == nil {
				t.Errorf("AddImage accepts blob %s, which is %s", d, name)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		f.put("x", d, blob)
	}
}

// TestFindImage checks that Find finds an image by tag, by digest and through an index,
// and that a missing image is fs.ErrNotExist.
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
