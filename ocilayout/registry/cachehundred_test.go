package registry

import (
	"fmt"
	"testing"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// TestHundredImages checks that what a run costs grows with the layers and facts of its image that are new, and not with the cache.
// A hundred images share one cache. Each has twenty layers: ten that all have, six that ten of them have, and four of its own.
func TestHundredImages(t *testing.T) {
	const layers, facts = 20, 2
	f := newFake(t)
	keys := signer(1)
	parts := func(n int, leaf uint64) (all []rootfs.Part) {
		for i := range 10 {
			all = append(all, part(fmt.Sprintf("all%d", i), uint64(1+i), 256))
		}
		for i := range 6 {
			all = append(all, part(fmt.Sprintf("ten%d", i), uint64(100+10*(n/10)+i), 256))
		}
		for i := range 3 {
			all = append(all, part(fmt.Sprintf("own%d", i), uint64(1000+10*n+i), 256))
		}
		return append(all, part("leaf", 10_000+10*uint64(n)+leaf, 256))
	}
	runs := 0
	// run builds an image in a new registry's repository, so that only the cache saves it something.
	run := func(n int, leaf uint64, keys Keys, day string) SharedCacheStats {
		t.Helper()
		runs++
		r := &runner{T: t, fake: f, keys: keys, parts: parts(n, leaf), to: fmt.Sprintf("team/image%d:v%d", n, runs), now: on(day),
			facts: []string{"of all", fmt.Sprintf("of %d with %d", n, leaf)}}
		if _, err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, how := range r.how {
			if how != ocilayout.Fetched && how != ocilayout.Built {
				t.Errorf("a layer was %v", how)
			}
		}
		return r.stats
	}
	want := func(what string, s SharedCacheStats, lookUps, requests int) {
		t.Helper()
		t.Logf("%s: %d look-ups, %d requests, %d bytes received, %d sent", what, s.LookUps, s.Requests, s.Received, s.Sent)
		if s.LookUps != lookUps || s.Requests != int64(requests) {
			t.Errorf("%s: %d look-ups in %d requests; want %d in %d", what, s.LookUps, s.Requests, lookUps, requests)
		}
	}
	const (
		note    = 3                 // a new use note: look for it, look for its config, put it
		noted   = 1                 // look for a note that is there
		config  = 2                 // send the config of all artifacts
		found   = layers + 2*facts  // look up; a fact is a blob, too
		isNew   = 1 + 1 + 1 + 2 + 2 // look up a layer, look again when it is built, look for its blob, send it, set two tags
		newFact = 1 + 1 + 1 + 2 + 1
	)
	want("all new in an empty cache", run(0, 0, keys, "2026-11-30"), 2*layers+2*facts, note+config+layers*isNew+facts*newFact)
	want("nothing changed in a cache of one image", run(0, 0, keys, "2026-11-30"), layers+facts, noted+found)
	for n := 1; n < 100; n++ {
		s := run(n, 0, keys, "2026-11-30")
		fresh := 4
		if n%10 == 0 {
			fresh += 6
		}
		if want := int64(note + layers - fresh + fresh*isNew + 2 + newFact); s.Written != fresh || s.Requests != want {
			t.Fatalf("image %d: %d layers were new in %d requests; want %d in %d", n, s.Written, s.Requests, fresh, want)
		}
	}
	t.Logf("the cache has %d tags", len(f.tags("cache/layers", "")))
	f.forget()
	want("nothing changed", run(0, 0, keys, "2026-11-30"), layers+facts, noted+found)
	want("nothing changed on the next day", run(0, 0, keys, "2026-12-01"), layers+facts, note+found)
	want("nothing changed, without the key", run(0, 0, reader(keys), "2026-12-01"), layers+facts, found)
	want("a leaf changed", run(50, 1, keys, "2026-12-01"), layers+facts+2, note+layers-1+isNew+2+newFact)
	if n := f.count("GET /v2/cache/layers/tags"); n > 0 {
		t.Errorf("runs list the tags of the cache %d times; want never", n)
	}
}
