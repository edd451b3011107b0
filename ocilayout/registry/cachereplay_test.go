package registry

import (
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// TestReplayedClaims checks that a genuine claim about one layer or fact serves for no other one,
// under whichever tag a registry shows it.
func TestReplayedClaims(t *testing.T) {
	keys := signer(1)
	parts := []rootfs.Part{part("a", 1, 10<<10), part("b", 2, 10<<10), part("c", 3, 10<<10)}
	f := newFake(t)
	writer := &runner{T: t, fake: f, keys: keys, parts: parts, to: "team/hello:v1"}
	writer.want(layoutDigest(t, image(t, nil, "gzip", parts...)), built, built, built)
	c := client(t, Options{})
	cache, err := c.SharedCache(t.Context(), f.at("cache/layers"), nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	facts := []string{"one", "two"}
	for _, name := range facts {
		cache.KeepFact(name, []byte("fact of "+name))
	}
	cache.WriteFacts(t.Context())
	previous, err := previousIn(t, c, f.at("team/hello:v1"))
	if err != nil {
		t.Fatal(err)
	}
	layer := make(map[string]*ocilayout.BlobSource) // by the name of its part
	for i := range previous.Layers {
		layer[previous.Layers[i].History.Objects[0].Name] = &previous.Layers[i].BlobSource
	}
	var tags []string
	for _, p := range parts {
		tags = append(tags, tagOf(t, "gzip", p), blobTag(layer[p.Name].Descriptor.Digest))
	}
	for _, name := range facts {
		tags = append(tags, factTag(name))
	}
	replayed := 0
	for _, p := range parts {
		own, ownBlob := tagOf(t, "gzip", p), blobTag(layer[p.Name].Descriptor.Digest)
		genuine, want := claimOf(t, f, own), layoutDigest(t, image(t, nil, "gzip", p))
		for _, tag := range tags {
			if tag == own || tag == ownBlob { // the same claim
				continue
			}
			other := claimOf(t, f, tag)
			setClaim(t, f, own, other)
			setClaim(t, f, ownBlob, other)
			r := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{p}}
			r.want(want, built)
			if explained := strings.Join(r.explained, "\n"); !strings.Contains(explained, "not trusted") {
				t.Errorf("%s with the claim of %s: explained %q; want why it is not trusted", own, tag, explained)
			}
			doubts, err := cache.Vouch(t.Context(), []*ocilayout.BlobSource{layer[p.Name]}, map[string]string{p.Name: p.Key})
			if err != nil || doubts[0] == nil {
				t.Errorf("%s with the claim of %s vouches: %v, %v", ownBlob, tag, doubts, err)
			}
			setClaim(t, f, own, genuine)
			setClaim(t, f, ownBlob, genuine)
			replayed++
		}
		r := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{unread(p)}}
		r.want(want, fetched)
	}
	for _, name := range facts {
		own := factTag(name)
		genuine := claimOf(t, f, own)
		for _, tag := range slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == own }) {
			setClaim(t, f, own, claimOf(t, f, tag))
			if got := cache.Fact(t.Context(), name); got != nil {
				t.Errorf("fact %s with the claim of %s is %q; want none", name, tag, got)
			}
			replayed++
		}
		setClaim(t, f, own, genuine)
	}
	if replayed != 3*6+2*7 {
		t.Errorf("%d claims were replayed; want 32", replayed)
	}
}
