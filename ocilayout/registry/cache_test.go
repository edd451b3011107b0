package registry

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// signer makes keys that sign and verify with an ed25519 key, which is derived from a seed.
func signer(seed byte) Keys {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
	public := private.Public().(ed25519.PublicKey)
	return Keys{
		Sign: func(message []byte) string {
			return "test:" + base64.StdEncoding.EncodeToString(ed25519.Sign(private, message))
		},
		Verify: func(message []byte, signatures []string) error {
			for _, s := range signatures {
				b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "test:"))
				if err == nil && ed25519.Verify(public, message, b) {
					return nil
				}
			}
			return errors.New("no signature is right")
		},
	}
}

// counts returns the counts without what they cost.
func (s SharedCacheStats) counts() SharedCacheStats {
	s.LookUps, s.Traffic = 0, Traffic{}
	return s
}

// reader returns keys that only verify.
func reader(k Keys) Keys { k.Sign = nil; return k }

// runner is a machine that builds an image and starts with empty directories.
type runner struct {
	*testing.T
	fake  *fakeRegistry
	keys  Keys
	parts []rootfs.Part
	z     string // compression; empty for gzip
	to    string // repository with tag; empty for a layout
	local *ocilayout.Cache
	from  *Reference
	now   func() time.Time // or nil
	facts []string         // names of facts that the run asks for, and keeps

	mu        sync.Mutex
	explained []string
	stats     SharedCacheStats
	writeErr  error
	push      Stats
	how       []ocilayout.How
}

func (r *runner) explain(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.explained = append(r.explained, fmt.Sprintf(format, args...))
}

// run builds the image and returns its digest.
func (r *runner) run(ctx context.Context) (digest.Digest, error) {
	r.Helper()
	r.explained = nil
	c := client(r.T, Options{Explain: r.explain, Now: r.now})
	cache, err := c.SharedCache(ctx, r.fake.at("cache/layers"), r.from, r.keys)
	if err != nil {
		return "", err
	}
	defer func() {
		cache.WriteFacts(ctx)
		r.stats, r.writeErr = cache.Stats(), cache.WriteErr()
	}()
	for _, name := range r.facts {
		if cache.Fact(ctx, name) == nil {
			cache.KeepFact(name, []byte("fact of "+name))
		}
	}
	img := image(r.T, nil, cmp.Or(r.z, "gzip"), r.parts...)
	if img.Layers, err = cache.Find(ctx, img.Layers, img.Compression, r.local); err != nil {
		return "", err
	}
	o := ocilayout.Options{Record: cache.Keep, Cache: r.local, Explain: r.explain}
	var l *ocilayout.Layout
	var push *Push
	if r.to == "" {
		l, err = ocilayout.Open(ctx, filepath.Join(r.TempDir(), "layout"), o)
	} else {
		if push, err = c.Push(ctx, r.fake.at(r.to), nil); err != nil {
			return "", err
		}
		o.Deliver = push.Blob
		l, err = ocilayout.OpenStaged(r.TempDir(), o)
	}
	if err != nil {
		return "", err
	}
	defer l.Close()
	desc, err := l.AddImage(ctx, img)
	r.how = nil
	for _, result := range l.Results() {
		r.how = append(r.how, result.How)
	}
	if err != nil {
		return "", err
	}
	if r.to == "" {
		return desc.Digest, l.Publish(ctx, desc, ocilayout.Name{Tag: "v1"})
	}
	manifest, err := l.Manifest(desc)
	if err != nil {
		return "", err
	}
	r.push = push.Stats()
	return desc.Digest, push.Manifest(ctx, desc, manifest, r.fake.at(r.to).Tag)
}

// want runs the machine, and checks the digest and where the layers came from.
func (r *runner) want(d digest.Digest, how ...ocilayout.How) {
	r.Helper()
	got, err := r.run(r.Context())
	if err != nil || got != d {
		r.Fatalf("the image is %s, %v; want %s; explained: %q", got, err, d, r.explained)
	}
	if !slices.Equal(r.how, how) {
		r.Errorf("the layers were %v; want %v; explained: %q", r.how, how, r.explained)
	}
}

const (
	built   = ocilayout.Built
	fetched = ocilayout.Fetched
	cached  = ocilayout.Cached
)

// TestSharedCache checks that a machine uses the layers that another one has built, for every kind of destination.
func TestSharedCache(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a, b, c := part("a", 1, 100<<10), part("b", 2, 1<<10), part("c", 3, 1<<10)
	want := layoutDigest(t, image(t, nil, "gzip", a, b))

	without := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{a, b}}
	without.want(want, built, built)
	if n := f.count("P"); n > 0 {
		t.Errorf("without a secret key, %d requests write; want none", n)
	}
	writer := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a, b}}
	writer.want(want, built, built)
	if got := writer.stats.counts(); got != (SharedCacheStats{Written: 2}) {
		t.Errorf("Stats of the first machine = %+v; want 2 written", writer.stats)
	}

	// The second machine reads no file of these parts, and writes nothing.
	f.forget()
	second := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{unread(a), unread(b)}}
	second.want(want, fetched, fetched)
	if n := f.count("P"); n > 0 || second.stats.counts() != (SharedCacheStats{Found: 2}) {
		t.Errorf("Stats of the second machine = %+v with %d requests that write; want 2 found and no such request", second.stats, n)
	}

	// A push to a repository of the same registry mounts the layers without reading them.
	f.forget()
	pushing := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{unread(a), unread(b)}, to: "team/hello:v1"}
	pushing.want(want, fetched, fetched)
	if n := f.count("GET /v2/cache/layers/blobs/"); n > 0 || pushing.push.Mounted != 2 || pushing.push.Sent != 1 {
		t.Errorf("push: %d blobs read, %+v; want 2 mounted and the config sent", n, pushing.push)
	}
	// A push to the cache's repository finds them there.
	f.forget()
	own := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{unread(a), unread(b)}, to: "cache/layers:v1"}
	own.want(want, fetched, fetched)
	if own.push.Present != 2 || own.push.Sent != 1 {
		t.Errorf("push to the cache's repository: %+v; want 2 present and the config sent", own.push)
	}

	// A new layer is built, sent to the image's repository, and mounted into the cache.
	f.forget()
	to := f.at("team/hello:v2")
	next := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{unread(a), c}, to: "team/hello:v2", from: &to}
	next.want(layoutDigest(t, image(t, nil, "gzip", a, c)), fetched, built)
	if f.received > 4<<10 {
		t.Errorf("the registry received %d bytes; want the new layer once", f.received)
	}

	// Fetched layers are in the machine's own cache, and not requested again.
	local, err := ocilayout.OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own = &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{unread(a), unread(b)}, local: local}
	own.want(want, fetched, fetched)
	f.forget()
	own.want(want, cached, cached)
	if n := f.count("GET /v2/cache/"); n > 0 {
		t.Errorf("%d requests for layers of the machine's own cache; want none", n)
	}
	// Layers of a machine's own cache are shared, too.
	g := newFake(t)
	own.fake, own.keys = g, keys
	own.want(want, cached, cached)
	(&runner{T: t, fake: g, keys: reader(keys), parts: []rootfs.Part{unread(a), unread(b)}}).want(want, fetched, fetched)
}

// claimOf returns the artifact of a claim in the fake registry.
func claimOf(t *testing.T, f *fakeRegistry, tag string) (m ispec.Manifest) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := json.Unmarshal(f.manifests["cache/layers"][tag], &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func setClaim(t *testing.T, f *fakeRegistry, tag string, m ispec.Manifest) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manifests["cache/layers"][tag] = b
}

// tagOf returns the tag of a part's layer.
func tagOf(t *testing.T, compression string, p rootfs.Part) string {
	t.Helper()
	img := image(t, nil, compression, p)
	r, err := ocilayout.NewRecord(img.Layers[0], img.Compression)
	if err != nil {
		t.Fatal(err)
	}
	return layerTag(r)
}

// resign changes the record in a claim, and signs it if the keys can.
func resign(t *testing.T, m *ispec.Manifest, k Keys, change func(*ocilayout.Record)) {
	t.Helper()
	var r ocilayout.Record
	if err := json.Unmarshal([]byte(m.Annotations[annotationClaim]), &r); err != nil {
		t.Fatal(err)
	}
	change(&r)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	m.Annotations[annotationClaim] = string(text)
	if k.Sign != nil {
		m.Annotations[annotationSignature] = k.Sign(layerClaim.signedBytes(string(text)))
	}
}

// TestPoisonedCache checks that forged and damaged claims and blobs are not used, and that the image is right all the same.
func TestPoisonedCache(t *testing.T) {
	keys, other := signer(1), signer(2)
	a, b := part("a", 1, 10<<10), part("b", 2, 10<<10)
	want := layoutDigest(t, image(t, nil, "gzip", a))
	tag, tagB := tagOf(t, "gzip", a), tagOf(t, "gzip", b)
	resign := func(m *ispec.Manifest, k Keys, change func(*ocilayout.Record)) { resign(t, m, k, change) }
	type poison struct {
		name    string
		explain string // part of the explanation
		do      func(t *testing.T, f *fakeRegistry, m *ispec.Manifest)
	}
	evil := strings.Repeat("evil", 100)
	tests := []poison{
		{"unsigned", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			delete(m.Annotations, annotationSignature)
		}},
		{"signature that is nonsense", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			m.Annotations[annotationSignature] = "test:AAAA x :"
		}},
		{"signed by another key", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, other, func(*ocilayout.Record) {})
		}},
		{"another diffID", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, Keys{}, func(r *ocilayout.Record) { r.DiffID = digest.FromString("x") })
		}},
		{"another blob", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			f.put("cache/layers", digest.FromString(evil), []byte(evil))
			resign(m, Keys{}, func(r *ocilayout.Record) { r.Blob, r.Size = digest.FromString(evil), int64(len(evil)) })
		}},
		{"one more space", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			m.Annotations[annotationClaim] += " "
		}},
		{"about another layer", "it is about another layer", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			*m = claimOf(t, f, tagB)
		}},
		{"about another compressor", "it is about another layer", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) { r.Compressor = "gzip:9" })
		}},
		{"signed as a fact", "not trusted", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			m.Annotations[annotationSignature] = keys.Sign(factClaim.signedBytes(m.Annotations[annotationClaim]))
		}},
		{"no claim", "it has no claim", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) { m.Annotations = nil }},
		{"signed nonsense", "invalid", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			m.Annotations[annotationClaim] = "nonsense"
			m.Annotations[annotationSignature] = keys.Sign(layerClaim.signedBytes("nonsense"))
		}},
		{"signed without a blob", "", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) { r.Blob = "../../x" })
		}},
		{"signed with a blob in upper case", "", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) {
				r.Blob = digest.Digest("sha256:" + strings.ToUpper(r.Blob.Encoded()))
			})
		}},
		{"signed with a diffID of another algorithm", "", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) { r.DiffID = digest.SHA512.FromString("x") })
		}},
		{"signed with a size of 2^62", "", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) { r.Size = 1 << 62 })
		}},
		{"signed with a negative size", "", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			resign(m, keys, func(r *ocilayout.Record) { r.Size = -1 })
		}},
		{"blob is missing", "not fetched", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			f.put("cache/layers", m.Layers[0].Digest, nil)
		}},
		{"blob is cut", "not fetched", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			f.put("cache/layers", m.Layers[0].Digest, f.all("cache/layers")[m.Layers[0].Digest][:100])
		}},
		{"blob is empty", "not fetched", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			f.put("cache/layers", m.Layers[0].Digest, []byte{})
		}},
		{"blob is longer", "not fetched", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			f.put("cache/layers", m.Layers[0].Digest, append(slices.Clone(f.all("cache/layers")[m.Layers[0].Digest]), 0))
		}},
		{"blob has other bytes", "not fetched", func(t *testing.T, f *fakeRegistry, m *ispec.Manifest) {
			blob := slices.Clone(f.all("cache/layers")[m.Layers[0].Digest])
			blob[len(blob)/2] ^= 1
			f.put("cache/layers", m.Layers[0].Digest, blob)
		}},
	}
	for _, tt := range tests {
		for _, to := range []string{"", "team/hello:v1", "cache/layers:v1"} {
			t.Run(tt.name+" "+to, func(t *testing.T) {
				t.Parallel()
				f := newFake(t)
				(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a, b}}).want(layoutDigest(t, image(t, nil, "gzip", a, b)), built, built)
				m := claimOf(t, f, tag)
				blob := m.Layers[0].Digest
				tt.do(t, f, &m)
				setClaim(t, f, tag, m)
				r := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{a}, to: to}
				r.Helper()
				got, err := r.run(t.Context())
				if tt.explain == "not fetched" && to != "" {
					// The registry answers for the content under its digests: a blob that it says it has is mounted or left alone.
					// A missing one is sent.
					if err != nil || got != want {
						t.Fatalf("the image is %s, %v; want %s; explained: %q", got, err, want, r.explained)
					}
					return
				}
				if err != nil || got != want || !slices.Equal(r.how, []ocilayout.How{built}) {
					t.Fatalf("the image is %s, %v, %v; want %s, built; explained: %q", got, r.how, err, want, r.explained)
				}
				if explained := strings.Join(r.explained, "\n"); !strings.Contains(explained, tt.explain) {
					t.Errorf("explained: %s; want %q", explained, tt.explain)
				}

				// A machine with the secret key repairs the claim, but not what the registry has under a digest.
				(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a}}).want(want, built)
				if left := f.all("cache/layers")[blob]; digest.FromBytes(left) == blob {
					(&runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{unread(a)}}).want(want, fetched)
				}
			})
		}
	}
}

// TestSharedFallback checks that a layer whose claim is found, but whose blob is gone, is built and sent.
func TestSharedFallback(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a := part("a", 1, 10<<10)
	want := layoutDigest(t, image(t, nil, "gzip", a))
	(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a}}).want(want, built)
	blob := claimOf(t, f, tagOf(t, "gzip", a)).Layers[0].Digest
	content := f.all("cache/layers")[blob]
	for _, repository := range []string{"team/hello", "cache/layers"} {
		f.put("cache/layers", blob, nil)
		r := &runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{a}, to: repository + ":v1"}
		r.want(want, built)
		if got := f.all(repository)[blob]; string(got) != string(content) {
			t.Errorf("repository %s has %d bytes of the layer; want %d", repository, len(got), len(content))
		}
	}
}

// TestCacheKilled checks that a machine that is stopped at any request leaves nothing that breaks other machines.
func TestCacheKilled(t *testing.T) {
	keys := signer(1)
	a, b := part("a", 1, 10<<10), part("b", 2, 10<<10)
	want := layoutDigest(t, image(t, nil, "gzip", a, b))
	stopped := 0
	for n := 1; ; n++ {
		f := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		requests := 0
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			requests++
			last := requests >= n
			mu.Unlock()
			if last {
				cancel()
				panic(http.ErrAbortHandler)
			}
			return false
		}
		_, err := (&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a, b}}).run(ctx)
		cancel()
		if err != nil {
			stopped++
		}
		mu.Lock()
		over := requests < n
		mu.Unlock()
		f.mu.Lock()
		f.fault = nil
		tags := slices.Collect(maps.Keys(f.manifests["cache/layers"]))
		f.mu.Unlock()
		for _, tag := range tags {
			for _, d := range append(claimOf(t, f, tag).Layers, emptyDescriptor()) {
				if digest.FromBytes(f.all("cache/layers")[d.Digest]) != d.Digest {
					t.Errorf("stopped at request %d: %s leads to blob %s, which is missing or damaged", n, tag, d.Digest)
				}
			}
		}
		r := &runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a, b}}
		if got, err := r.run(t.Context()); err != nil || got != want {
			t.Fatalf("after a stop at request %d: %s, %v; want %s", n, got, err, want)
		}
		(&runner{T: t, fake: f, keys: reader(keys), parts: []rootfs.Part{unread(a), unread(b)}}).want(want, fetched, fetched)
		if over {
			break
		}
	}
	if stopped < 5 {
		t.Errorf("%d runs were stopped; want at least 5", stopped)
	}
}

// TestCacheFails checks that a cache that cannot be read or written is given up, and that the image is built.
func TestCacheFails(t *testing.T) {
	a, b := part("a", 1, 10<<10), part("b", 2, 10<<10)
	want := layoutDigest(t, image(t, nil, "gzip", a, b))
	for name, refused := range map[string]string{"read": http.MethodGet, "written": http.MethodPost, "set": http.MethodPut} {
		for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError} {
			f := newFake(t)
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == refused && strings.HasPrefix(r.URL.Path, "/v2/cache/") {
					refuse(w, status, "DENIED")
					return true
				}
				return false
			}
			(&runner{T: t, fake: f, keys: signer(1), parts: []rootfs.Part{a, b}}).want(want, built, built)
			if n := f.count(refused + " /v2/cache"); n > 0 {
				t.Errorf("a cache that cannot be %s got %d such requests; want none served", name, n)
			}
		}
	}
}

// TestSharedFacts checks that facts are shared and verified like layers.
func TestSharedFacts(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	cache := func(k Keys) *SharedCache {
		c, err := client(t, Options{}).SharedCache(t.Context(), f.at("cache/layers"), nil, k)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w := cache(keys)
	for _, name := range []string{"one", "two"} {
		w.KeepFact(name, []byte("fact of "+name))
	}
	w.WriteFacts(t.Context())
	if got := w.Stats().counts(); got != (SharedCacheStats{WrittenFacts: 2}) {
		t.Errorf("Stats = %+v, %v; want 2 facts written", got, w.Err())
	}
	r := cache(reader(keys))
	want := func(name, want string) {
		t.Helper()
		if got := r.Fact(t.Context(), name); string(got) != want {
			t.Errorf("Fact(%s) = %q; want %q", name, got, want)
		}
	}
	want("one", "fact of one")
	want("three", "")
	w.KeepFact("one", []byte("fact of one"))
	f.forget()
	w.WriteFacts(t.Context())
	if n := f.count("PUT"); n > 0 {
		t.Errorf("WriteFacts writes facts again that the cache has, in %d requests", n)
	}

	m := claimOf(t, f, factTag("one"))
	setClaim(t, f, factTag("one"), claimOf(t, f, factTag("two"))) // the claim of another fact
	want("one", "")
	setClaim(t, f, factTag("one"), m)
	f.put("cache/layers", m.Layers[0].Digest, []byte("fact of ten"))
	want("one", "")
	f.put("cache/layers", m.Layers[0].Digest, []byte("fact of one"))
	want("one", "fact of one")
	delete(m.Annotations, annotationSignature)
	setClaim(t, f, factTag("one"), m)
	want("one", "")
	r = cache(reader(signer(2)))
	want("two", "")
	r.KeepFact("four", []byte("four"))
	f.forget()
	r.WriteFacts(t.Context())
	if n := f.count(""); n > 0 {
		t.Errorf("WriteFacts without a secret key makes %d requests; want none", n)
	}
}

// TestVouch checks that only a signed claim about a layer proves what the image's history says about it.
func TestVouch(t *testing.T) {
	f := newFake(t)
	keys := signer(1)
	a, b := part("a", 1, 10<<10), part("b", 2, 10<<10)
	(&runner{T: t, fake: f, keys: keys, parts: []rootfs.Part{a}, to: "team/hello:v1"}).want(layoutDigest(t, image(t, nil, "gzip", a)), built)
	(&runner{T: t, fake: newFake(t), keys: keys, parts: []rootfs.Part{b}}).want(layoutDigest(t, image(t, nil, "gzip", b)), built)
	c := client(t, Options{})
	both := image(t, nil, "gzip", a, b)
	mustPush(t, c, f.at("team/hello:v2"), nil, both)
	previous, err := previousIn(t, c, f.at("team/hello:v2"))
	if err != nil {
		t.Fatal(err)
	}
	layers := []*ocilayout.BlobSource{&previous.Layers[0].BlobSource, &previous.Layers[1].BlobSource}
	if previous.Layers[0].History.Objects[0].Name != a.Name {
		slices.Reverse(layers)
	}
	wanted := map[string]string{a.Name: a.Key, b.Name: b.Key}
	check := func(k Keys, wanted map[string]string, wantA bool) {
		t.Helper()
		cache, err := c.SharedCache(t.Context(), f.at("cache/layers"), nil, k)
		if err != nil {
			t.Fatal(err)
		}
		doubts, err := cache.Vouch(t.Context(), layers, wanted)
		if err != nil || (doubts[0] == nil) != wantA || doubts[1] == nil {
			t.Errorf("Vouch = %v, %v; want the first layer proven: %v, and the second not", doubts, err, wantA)
		}
	}
	check(reader(keys), wanted, true)
	check(reader(signer(2)), wanted, false)
	check(reader(keys), map[string]string{a.Name: a.Key[:40] + b.Key[40:]}, false) // the same first digits

	tag := blobTag(layers[0].Descriptor.Digest)
	m := claimOf(t, f, tag)
	setClaim(t, f, blobTag(layers[1].Descriptor.Digest), m) // a claim about another blob
	check(reader(keys), wanted, true)
	layers[0].DiffID = digest.FromString("x")
	check(reader(keys), wanted, false)
}

// TestSharedUnproven checks that an unproven part takes only layers whose builders have checked the contents.
func TestSharedUnproven(t *testing.T) {
	unproven, trusted := part("a", 1, 1<<10), part("a", 1, 1<<10)
	unproven.Unproven = true
	f := newFake(t)
	r := &runner{T: t, fake: f, keys: signer(1), parts: []rootfs.Part{trusted}}
	want := layoutDigest(t, image(t, nil, "gzip", r.parts...))
	r.want(want, built)
	r.want(want, fetched)
	r.parts = []rootfs.Part{unproven}
	r.want(want, built)
	r.want(want, fetched)
	r.parts = []rootfs.Part{trusted}
	r.want(want, fetched)
}

// FuzzClaim checks that parseClaim returns only the signed claim, and only as its own kind.
func FuzzClaim(f *testing.F) {
	keys := signer(1)
	record := factRecord{"name", digest.FromString("fact"), 4}
	_, good, err := keys.newClaim(factClaim, record, record.descriptor())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	_, other, err := signer(2).newClaim(factClaim, record, record.descriptor())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(other)
	for _, s := range []string{"", "{}", "[]", `{"annotations":null}`, `{"annotations":{"export-profile.claim":"{}"}}`,
		`{"annotations":{"export-profile.claim":"{}","export-profile.signature":"test:AAAA  : x"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		var got factRecord
		if keys.parseClaim(factClaim, manifest, &got) == nil && got != record {
			t.Errorf("parseClaim(%s) trusts %v", manifest, got)
		}
		if keys.parseClaim(layerClaim, manifest, &got) == nil {
			t.Errorf("parseClaim(%s) trusts a claim of another kind", manifest)
		}
	})
}
