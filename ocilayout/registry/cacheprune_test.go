package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// prunedCache is a shared cache in which layer a was used on 1 November, b on 1 and 25 November, and c on 25 November.
// Each has a fact with its name, and the cache has a layer and a fact without a note, named "old".
type prunedCache struct {
	*testing.T
	*fakeRegistry
	keys       Keys
	a, b, c, o rootfs.Part
}

func newPruned(t *testing.T) *prunedCache {
	t.Helper()
	p := &prunedCache{t, newFake(t), signer(1), part("a", 1, 1<<10), part("b", 2, 1<<10), part("c", 3, 1<<10), part("o", 4, 1<<10)}
	p.run("2026-10-01", "old", p.o)
	for _, tag := range p.tags("cache/layers", "used-") {
		delete(p.manifests["cache/layers"], tag)
	}
	p.run("2026-11-01", "a", p.a, p.b)
	p.run("2026-11-01", "b", p.b)
	p.run("2026-11-25", "b", p.b, p.c)
	p.run("2026-11-25", "c", p.c)
	return p
}

// run builds an image of parts with the cache, on a day.
func (p *prunedCache) run(day, fact string, parts ...rootfs.Part) {
	p.Helper()
	r := &runner{T: p.T, fake: p.fakeRegistry, keys: p.keys, parts: parts, now: on(day), facts: []string{fact}}
	if _, err := r.run(p.Context()); err != nil {
		p.Fatal(err)
	}
}

func (p *prunedCache) prune(day string, o PruneOptions) (Pruned, error) {
	p.Helper()
	return client(p.T, Options{Now: on(day)}).PruneCache(p.Context(), p.at("cache/layers"), o)
}

// recordTags lists the tags of a part's layer and of a fact.
func (p *prunedCache) recordTags(fact string, part rootfs.Part) []string {
	p.Helper()
	tag := tagOf(p.T, "gzip", part)
	return []string{tag, blobTag(claimOf(p.T, p.fakeRegistry, tag).Layers[0].Digest), factTag(fact)}
}

// want checks which tags of records the cache has.
func (p *prunedCache) want(all ...[]string) {
	p.Helper()
	want := slices.Sorted(slices.Values(slices.Concat(all...)))
	var got []string
	for _, tag := range p.tags("cache/layers", "") {
		if recordTagPattern.MatchString(tag) {
			got = append(got, tag)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.Errorf("records (-want +got):\n%s", diff)
	}
}

// TestPruneCache checks what is pruned: what was used last before the age, and only that.
func TestPruneCache(t *testing.T) {
	for _, page := range []int{0, 1, 3} {
		p := newPruned(t)
		p.page = page
		a, b, c, old := p.recordTags("a", p.a), p.recordTags("b", p.b), p.recordTags("c", p.c), p.recordTags("old", p.o)
		size := func(tags ...[]string) (n int64) {
			for _, tags := range tags {
				n += claimOf(t, p.fakeRegistry, tags[0]).Layers[0].Size
			}
			return n
		}
		sizeA, sizeBC, sizeO := size(a), size(b, c), size(old)
		step := func(day string, o PruneOptions, want Pruned) {
			t.Helper()
			p.forget()
			got, err := p.prune(day, o)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("PruneCache on %s: %v (-want +got):\n%s", day, err, diff)
			}
		}
		// 1 November ends 30 days before the end of 1 December.
		step("2026-11-30", PruneOptions{}, Pruned{Adopted: 2})
		p.want(a, b, c, old)
		step("2026-11-30", PruneOptions{}, Pruned{})
		if n := p.count("D") + p.count("P") + p.count("HEAD"); n > 0 {
			t.Errorf("prune without anything to do makes %d requests beside reading notes; want none", n)
		}
		step("2026-12-02", PruneOptions{}, Pruned{SharedUsage: SharedUsage{Layers: 1, LayerBytes: sizeA, Facts: 1, FactBytes: 9, Notes: 2}})
		p.want(b, c, old)
		step("2026-12-03", PruneOptions{OlderThan: 5 * 24 * time.Hour}, Pruned{SharedUsage: SharedUsage{Layers: 2, LayerBytes: sizeBC, Facts: 2, FactBytes: 18, Notes: 2}})
		p.want(old)
		if p.count("DELETE") != 6 {
			t.Errorf("%d deletions; want one for each record and note", p.count("DELETE"))
		}
		// A machine without the key builds what is gone, and one with the key adds it again.
		r := &runner{T: t, fake: p.fakeRegistry, keys: reader(p.keys), parts: []rootfs.Part{p.a, unread(p.o)}, now: on("2026-12-03")}
		r.want(layoutDigest(t, image(t, nil, "gzip", p.a, p.o)), built, fetched)
		p.run("2026-12-03", "a", p.a)
		p.want(a, old)
		step("2026-12-04", PruneOptions{All: true}, Pruned{SharedUsage: SharedUsage{Layers: 2, LayerBytes: sizeA + sizeO, Facts: 2, FactBytes: 20, Notes: 2}})
		if left := p.tags("cache/layers", ""); len(left) > 0 {
			t.Errorf("prune of everything left %q", left)
		}
		step("2026-12-04", PruneOptions{}, Pruned{})
	}
}

// TestPruneOthers checks that a manifest stays if another tag leads to it, and everything that is no record.
func TestPruneOthers(t *testing.T) {
	p := newPruned(t)
	img := image(t, nil, "gzip", p.a)
	mustPush(t, client(t, Options{}), p.at("cache/layers:v1"), nil, img, "layer-v1")
	repo := p.manifests["cache/layers"]
	a, b, c, old := p.recordTags("a", p.a), p.recordTags("b", p.b), p.recordTags("c", p.c), p.recordTags("old", p.o)
	imageTag := "layer-" + strings.Repeat("0", 64)
	repo[imageTag] = repo["v1"]                                      // an image in the place of a record
	repo["keep"] = repo[a[0]]                                        // a tag that people made
	repo[factTag("x")] = repo[factTag("c")]                          // a fact under another's tag
	repo["used-20261101-"+strings.Repeat("0", 64)] = repo["v1"]      // an image in the place of a note
	if _, err := p.prune("2026-11-30", PruneOptions{}); err != nil { // names the new tags in a note
		t.Fatal(err)
	}
	got, err := p.prune("2027-01-10", PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// The fact of c has the tag of x, too, and both are unused, but it is no record that x should lead to.
	if got.Layers != 3 || got.Facts != 3 || got.Held != 2 {
		t.Errorf("PruneCache = %+v; want 3 layers and 3 facts removed, and 2 held", got)
	}
	for _, tag := range []string{"v1", "layer-v1", imageTag, "keep", a[0], a[1], factTag("c"), "used-20261101-" + strings.Repeat("0", 64)} {
		if p.tag("cache/layers", tag) == "" {
			t.Errorf("%s is gone", tag)
		}
	}
	for _, tag := range slices.Concat(b, c[:2], old, a[2:]) {
		if p.tag("cache/layers", tag) != "" {
			t.Errorf("%s is still there", tag)
		}
	}
}

// TestPruneSharedManifest checks that a record stays if only one of its two tags is used.
func TestPruneSharedManifest(t *testing.T) {
	p := newPruned(t)
	a := p.recordTags("a", p.a)
	note, manifest, err := newUseNote("20261201", a[1:2])
	if err != nil {
		t.Fatal(err)
	}
	p.manifests["cache/layers"][tagOfUse("20261201", note)] = manifest
	if got, err := p.prune("2026-12-20", PruneOptions{}); err != nil || got.Held != 1 || got.Layers != 0 || got.Facts != 1 {
		t.Errorf("PruneCache = %+v, %v; want the layer held and the fact removed", got, err)
	}
	// The tag of a blob that no layer has is kept for the age, like what no note names.
	orphan := "blob-" + strings.Repeat("e", 64)
	var m ispec.Manifest
	_ = json.Unmarshal(p.manifests["cache/layers"][a[0]], &m)
	m.Annotations["x"] = "y"
	b, _ := json.Marshal(m)
	p.manifests["cache/layers"][orphan], p.manifests["cache/layers"][descriptorOf("", b).Digest.String()] = b, b
	for _, tt := range []struct {
		day  string
		left bool
	}{{"2027-01-10", true}, {"2027-01-11", true}, {"2027-02-15", false}} {
		if _, err := p.prune(tt.day, PruneOptions{}); err != nil || (p.tag("cache/layers", orphan) != "") != tt.left {
			t.Errorf("on %s the orphan is there: %v, %v; want %v", tt.day, !tt.left, err, tt.left)
		}
	}
}

// TestPruneNewerNote checks that nothing is deleted if a note cannot be understood or read.
func TestPruneNewerNote(t *testing.T) {
	for _, broken := range []bool{false, true} {
		p := newPruned(t)
		n := useNotes(t)["newer version"]
		p.manifests["cache/layers"][n.tag] = n.manifest
		if broken {
			p.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, n.tag) {
					refuse(w, http.StatusForbidden, "DENIED")
					return true
				}
				return false
			}
		}
		before := p.tags("cache/layers", "")
		_, err := p.prune("2027-01-10", PruneOptions{})
		var note *UseNoteError
		if errors.As(err, &note) == broken || errors.Is(err, ErrDenied) != broken {
			t.Errorf("PruneCache = %v; want an error about the note", err)
		}
		if after := p.tags("cache/layers", ""); !slices.Equal(before, after) {
			t.Errorf("the tags became %q; want %q", after, before)
		}
	}
}

// TestPruneFailures checks that temporary failures are retried, and that others end the prune.
func TestPruneFailures(t *testing.T) {
	for _, tt := range []struct {
		status int
		times  int64
		want   error
	}{
		{http.StatusTooManyRequests, 2, nil},
		{http.StatusServiceUnavailable, 2, nil},
		{http.StatusMethodNotAllowed, 1000, ErrNoDelete},
		{http.StatusNotImplemented, 1000, ErrNoDelete},
		{http.StatusForbidden, 1000, ErrDenied},
	} {
		p := newPruned(t)
		b := p.recordTags("b", p.b)
		var n atomic.Int64
		p.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodDelete && n.Add(1) <= tt.times {
				refuse(w, tt.status, "X")
				return true
			}
			return false
		}
		got, err := p.prune("2026-12-02", PruneOptions{})
		if !errors.Is(err, tt.want) || err == nil && (got.Layers != 1 || got.Facts != 1 || got.Notes != 2) || err != nil && got.Layers+got.Facts+got.Notes > 0 {
			t.Errorf("status %d: PruneCache = %+v, %v; want %v", tt.status, got, err, tt.want)
		}
		if p.tag("cache/layers", b[0]) == "" {
			t.Errorf("status %d: a used record is gone", tt.status)
		}
	}
	p := newPruned(t)
	p.keeps = true
	if _, err := p.prune("2026-12-02", PruneOptions{}); !errors.Is(err, ErrNoDelete) {
		t.Errorf("PruneCache of a registry that deletes nothing = %v; want %v", err, ErrNoDelete)
	}
}

// TestPruneStopped checks that a prune that is stopped at any request leaves all used records with their tags,
// and that the next one removes the rest.
func TestPruneStopped(t *testing.T) {
	for n := 1; ; n++ {
		p := newPruned(t)
		b, c, old := p.recordTags("b", p.b), p.recordTags("c", p.c), p.recordTags("old", p.o)
		ctx, cancel := context.WithCancel(t.Context())
		var requests atomic.Int64
		p.mu.Lock()
		p.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if requests.Add(1) >= int64(n) {
				cancel()
				panic(http.ErrAbortHandler)
			}
			return false
		}
		p.mu.Unlock()
		_, err := client(t, Options{Now: on("2026-12-02")}).PruneCache(ctx, p.at("cache/layers"), PruneOptions{})
		cancel()
		over := requests.Load() < int64(n)
		if (err == nil) != over {
			t.Errorf("stopped at request %d: PruneCache = %v", n, err)
		}
		p.mu.Lock()
		p.fault = nil
		p.mu.Unlock()
		for _, tag := range slices.Concat(b, c, old) {
			if p.tag("cache/layers", tag) == "" {
				t.Errorf("stopped at request %d: %s is gone", n, tag)
			}
		}
		if _, err := p.prune("2026-12-02", PruneOptions{}); err != nil {
			t.Fatal(err)
		}
		p.want(b, c, old)
		if over {
			break
		}
	}
}

// TestPruneMeanwhile checks that a run that announces an unused record at any request of a prune
// has the record when both are over, also if the registry lists the run's use note before it can be read.
func TestPruneMeanwhile(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("early=%v", early), func(t *testing.T) { testPruneMeanwhile(t, early) })
	}
}

func testPruneMeanwhile(t *testing.T, early bool) {
	restored := 0
	for n := 1; ; n++ {
		p := newPruned(t)
		a := p.recordTags("a", p.a)
		want := layoutDigest(t, image(t, nil, "gzip", p.a))
		var requests atomic.Int64
		writer := &runner{T: t, fake: p.fakeRegistry, keys: p.keys, parts: []rootfs.Part{p.a}, now: on("2026-12-02")}
		note, _, err := newUseNote("20261202", []string{a[0]})
		if err != nil {
			t.Fatal(err)
		}
		tag := tagOfUse("20261202", note)
		p.mu.Lock()
		if early {
			p.early = []string{tag}
		}
		p.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if requests.Add(1) == int64(n) {
				if got, err := writer.run(context.Background()); err != nil || got != want {
					t.Errorf("at request %d: the image is %s, %v; want %s", n, got, err, want)
				}
			}
			return false
		}
		p.mu.Unlock()
		got, err := p.prune("2026-12-02", PruneOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if requests.Load() < int64(n) {
			break
		}
		if p.tag("cache/layers", tag) == "" {
			t.Errorf("at request %d: the run has not written the note %s", n, tag)
		}
		if p.tag("cache/layers", a[0]) == "" || p.tag("cache/layers", a[1]) == "" {
			t.Errorf("at request %d: the layer that a run used meanwhile is gone: %+v", n, got)
		}
		restored += got.Restored
		(&runner{T: t, fake: p.fakeRegistry, keys: reader(p.keys), parts: []rootfs.Part{unread(p.a)}}).want(want, fetched)
	}
	if restored == 0 {
		t.Error("no record was put back; want some")
	}
}

// TestListTags checks what lists of tags are refused, and that nothing that is no tag gets into a URL.
func TestListTags(t *testing.T) {
	endless := func(next func(n int64) string, body string) func(n int64, w http.ResponseWriter) {
		return func(n int64, w http.ResponseWriter) {
			w.Header().Set("Link", fmt.Sprintf("<%s>; rel=next", next(n)))
			_, _ = fmt.Fprint(w, body)
		}
	}
	for name, tt := range map[string]struct {
		answer func(n int64, w http.ResponseWriter)
		want   []string
		err    string
	}{
		"no tag": {func(_ int64, w http.ResponseWriter) {
			_, _ = fmt.Fprintf(w, `{"tags":["a","../../x/manifests/y","","-b","%s","b?c","a/b"]}`, strings.Repeat("x", 129))
		}, []string{"a"}, ""},
		"null":         {func(_ int64, w http.ResponseWriter) { _, _ = fmt.Fprint(w, `{"tags":null}`) }, nil, ""},
		"no JSON":      {func(_ int64, w http.ResponseWriter) { _, _ = fmt.Fprint(w, `<html>`) }, nil, "the registry sent no list of tags"},
		"loop":         {endless(func(int64) string { return "/v2/x/tags/list?n=1000" }, `{"tags":["a"]}`), nil, "leads back to an earlier one"},
		"another host": {endless(func(int64) string { return "http://registry.example.com/v2/x/tags/list" }, `{}`), nil, "on another host"},
		"pages":        {endless(func(n int64) string { return fmt.Sprintf("/v2/x/tags/list?last=%d", n) }, `{}`), nil, "more than 10000 pages"},
		"missing":      {func(_ int64, w http.ResponseWriter) { refuse(w, http.StatusNotFound, "NAME_UNKNOWN") }, nil, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			var n atomic.Int64
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "tags/list") {
					tt.answer(n.Add(1), w)
					return true
				}
				return false
			}
			repo, err := client(t, Options{}).repository(t.Context(), f.at("x"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := repo.listTags(t.Context())
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("listTags = %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// TestCacheUsage checks the counts of a shared cache.
func TestCacheUsage(t *testing.T) {
	p := newPruned(t)
	size := int64(0)
	for _, part := range []rootfs.Part{p.a, p.b, p.c, p.o} {
		size += claimOf(t, p.fakeRegistry, tagOf(t, "gzip", part)).Layers[0].Size
	}
	got, err := client(t, Options{}).CacheUsage(t.Context(), p.at("cache/layers"))
	want := SharedUsage{Layers: 4, LayerBytes: size, Facts: 4, FactBytes: 9 + 9 + 9 + 11, Notes: 4,
		Oldest: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Unnoted: 2}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("CacheUsage: %v (-want +got):\n%s", err, diff)
	}
	if _, err := client(t, Options{}).CacheUsage(t.Context(), p.at("cache/other")); err != nil {
		t.Errorf("CacheUsage of an empty repository: %v", err)
	}
}
