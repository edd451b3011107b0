package registry

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/rootfs"
)

// TestSharedChunked checks that a machine gets the tables of a layer with the layer, and that a plain layer has none.
func TestSharedChunked(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a, b := part("a", 1, 100<<10), part("b", 2, 1<<10)
	want := layoutDigest(t, image(t, nil, "zstd:chunked", a, b))
	(&runner{T: t, fake: f, keys: keys, z: "zstd:chunked", parts: []rootfs.Part{a, b}}).want(want, built, built)
	record := claimOf(t, f, tagOf(t, "zstd:chunked", a)).Annotations[annotationClaim]
	if !strings.Contains(record, chunked.AnnotationTOCDigest) {
		t.Errorf("the claim about a chunked layer is %s; want the annotations in it", record)
	}
	unread := []rootfs.Part{unread(a), unread(b)}
	for _, to := range []string{"", "team/hello:v1", "cache/layers:v1"} {
		(&runner{T: t, fake: f, keys: reader(keys), z: "zstd:chunked", parts: unread, to: to}).want(want, fetched, fetched)
	}
	local, err := ocilayout.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := &runner{T: t, fake: f, keys: reader(keys), z: "zstd:chunked", parts: unread, local: local}
	own.want(want, fetched, fetched)
	own.want(want, cached, cached)
	if _, damage, err := local.Verify(t.Context(), nil); len(damage) > 0 || err != nil {
		t.Errorf("Verify of the machine's own cache = %v, %v; want no damage", damage, err)
	}

	// Layers compressed by zstd are others.
	plain := layoutDigest(t, image(t, nil, "zstd", a, b))
	(&runner{T: t, fake: f, keys: keys, z: "zstd", parts: []rootfs.Part{a, b}}).want(plain, built, built)
	(&runner{T: t, fake: f, keys: reader(keys), z: "zstd", parts: unread}).want(plain, fetched, fetched)
	record = claimOf(t, f, tagOf(t, "zstd", a)).Annotations[annotationClaim]
	if strings.Contains(record, "annotations") {
		t.Errorf("the claim about a plain layer is %s; want none of zstd:chunked in it", record)
	}
}

// TestPoisonedTables checks that a claim with wrong tables is not used.
func TestPoisonedTables(t *testing.T) {
	keys := signer(1)
	a := part("a", 1, 10<<10)
	for _, tt := range []struct {
		name, z, explain string
		keys             Keys
		change           func(r *ocilayout.Record)
	}{
		{"changed", "zstd:chunked", "not trusted", Keys{}, func(r *ocilayout.Record) {
			r.Annotations[chunked.AnnotationTOCDigest] = digest.FromString("x").String()
		}},
		{"removed", "zstd:chunked", "not trusted", Keys{}, func(r *ocilayout.Record) { r.Annotations = nil }},
		{"signed without the TOC's digest", "zstd:chunked", "manifest-checksum", keys, func(r *ocilayout.Record) { delete(r.Annotations, chunked.AnnotationTOCDigest) }},
		{"signed beyond the blob", "zstd:chunked", "are not in the blob", keys, func(r *ocilayout.Record) { r.Annotations[chunked.AnnotationTarSplit] = "1000000:1:1" }},
		{"signed with another annotation", "zstd:chunked", "do not belong to zstd:chunked", keys, func(r *ocilayout.Record) { r.Annotations["x"] = "y" }},
		{"signed for a plain layer", "zstd", "its blob is of another kind", keys, func(r *ocilayout.Record) {
			r.Annotations = chunked.Location{
				Digest: digest.FromString("x"), TOC: chunked.Span{Offset: 1, Length: 1, Uncompressed: 1}, TarSplit: chunked.Span{Offset: 2, Length: 1, Uncompressed: 1},
			}.Annotations()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			want := layoutDigest(t, image(t, nil, tt.z, a))
			(&runner{T: t, fake: f, keys: keys, z: tt.z, parts: []rootfs.Part{a}}).want(want, built)
			tag := tagOf(t, tt.z, a)
			m := claimOf(t, f, tag)
			resign(t, &m, tt.keys, tt.change)
			setClaim(t, f, tag, m)
			r := &runner{T: t, fake: f, keys: reader(keys), z: tt.z, parts: []rootfs.Part{a}}
			r.want(want, built)
			if explained := strings.Join(r.explained, "\n"); !strings.Contains(explained, tt.explain) {
				t.Errorf("explained: %s; want %q", explained, tt.explain)
			}
			(&runner{T: t, fake: f, keys: keys, z: tt.z, parts: []rootfs.Part{a}}).want(want, built) // repairs the claim
			(&runner{T: t, fake: f, keys: reader(keys), z: tt.z, parts: []rootfs.Part{unread(a)}}).want(want, fetched)
		})
	}
}

// TestVouchTables checks that the signature of a layer covers the annotations in the manifest of a previous image.
func TestVouchTables(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a := part("a", 1, 10<<10)
	for _, z := range []string{"zstd:chunked", "zstd"} {
		(&runner{T: t, fake: f, keys: keys, z: z, parts: []rootfs.Part{a}, to: "team/" + strings.ReplaceAll(z, ":", "-") + ":v1"}).want(layoutDigest(t, image(t, nil, z, a)), built)
	}
	c := client(t, Options{})
	cache, err := c.SharedCache(t.Context(), f.at("cache/layers"), nil, reader(keys))
	if err != nil {
		t.Fatal(err)
	}
	tables := func(repository string) map[string]string {
		f.mu.Lock()
		defer f.mu.Unlock()
		var m ispec.Manifest
		if err := json.Unmarshal(f.manifests[repository]["v1"], &m); err != nil {
			t.Fatal(err)
		}
		return m.Layers[0].Annotations
	}
	of := tables("team/zstd-chunked")
	if len(of) != 3 || tables("team/zstd") != nil {
		t.Fatalf("annotations of the layers: %v and %v", of, tables("team/zstd"))
	}
	for _, tt := range []struct {
		name, repository string
		change           func(map[string]string) map[string]string
		doubt            string
	}{
		{"right", "team/zstd-chunked", maps.Clone[map[string]string], ""},
		{"another TOC", "team/zstd-chunked", func(a map[string]string) map[string]string {
			a[chunked.AnnotationTOCDigest] = digest.FromString("x").String()
			return a
		}, "manifest-checksum"},
		{"no tables", "team/zstd-chunked", func(map[string]string) map[string]string { return nil }, "manifest-checksum"},
		{"one more", "team/zstd-chunked", func(a map[string]string) map[string]string {
			a["containerd.io/snapshot/stargz/toc.digest"] = digest.FromString("x").String()
			return a
		}, "stargz"},
		{"plain", "team/zstd", maps.Clone[map[string]string], ""},
		{"tables of a plain layer", "team/zstd", func(map[string]string) map[string]string { return maps.Clone(of) }, "manifest-checksum"},
	} {
		previous, err := previousIn(t, c, f.at(tt.repository+":v1"))
		if err != nil {
			t.Fatal(err)
		}
		layer := previous.Layers[0].BlobSource
		layer.Descriptor.Annotations = tt.change(maps.Clone(layer.Descriptor.Annotations))
		doubts, err := cache.Vouch(t.Context(), []*ocilayout.BlobSource{&layer}, map[string]string{a.Name: a.Key})
		if err != nil || (doubts[0] == nil) != (tt.doubt == "") || doubts[0] != nil && !strings.Contains(doubts[0].Error(), tt.doubt) {
			t.Errorf("%s: Vouch = %v, %v; want %q", tt.name, doubts, err, tt.doubt)
		}
	}
	img := image(t, nil, "gzip", a)
	previous, err := previousIn(t, c, f.at("team/zstd-chunked:v1"))
	if err != nil {
		t.Fatal(err)
	}
	img.Layers[0].Reuse = &previous.Layers[0].BlobSource
	mustPush(t, c, f.at("team/next:v1"), nil, img)
	if got := tables("team/next"); !maps.Equal(got, of) {
		t.Errorf("a pushed layer of the previous image has the annotations %v; want %v", slices.Sorted(maps.Keys(got)), of)
	}
}
