package registry

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

const store = "nix/store/00000000000000000000000000000000-"

// part makes a store object with one file of incompressible text.
func part(name string, seed uint64, size int) rootfs.Part {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x", r.Uint64())
	}
	content, root := b.String(), store+name
	return rootfs.Part{Name: strings.TrimPrefix(root, "nix/store/"), Key: "sha256:" + strings.Repeat(fmt.Sprintf("%08x", seed), 8), Root: root, Size: int64(len(content)),
		Tree: func(yield func(rootfs.Entry, error) bool) {
			for _, e := range []rootfs.Entry{rootfs.Dir(root, 0o555),
				{Path: root + "/file", Mode: 0o444, Size: int64(len(content)),
					Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}} {
				if !yield(e, nil) {
					return
				}
			}
		}}
}

// image makes an image with a layer for each part.
func image(t *testing.T, previous *ocilayout.PreviousImage, compression string, parts ...rootfs.Part) ocilayout.ImageSpec {
	t.Helper()
	layers, _, err := ocilayout.PlanSticky(parts, previous, plan.StickyOptions{
		Options: plan.Options{Mode: plan.ModePerPath}, MaxWaste: 50})
	if err != nil {
		t.Fatal(err)
	}
	c, err := compress.Parse(compression)
	if err != nil {
		t.Fatal(err)
	}
	return ocilayout.ImageSpec{Layers: layers, Compression: c, Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}}
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.wait = time.Millisecond
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// push builds and pushes an image.
func push(ctx context.Context, t *testing.T, c *Client, to Reference, from *Reference, img ocilayout.ImageSpec, tags ...string) (digest.Digest, Stats, error) {
	t.Helper()
	p, err := c.Push(ctx, to, from)
	if err != nil {
		return "", Stats{}, err
	}
	dir := t.TempDir()
	l, err := ocilayout.OpenStaged(dir, ocilayout.Options{Deliver: p.Blob})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("the push left %v, %v in its directory", left, err)
		}
	}()
	desc, err := l.AddImage(ctx, img)
	if err != nil {
		return "", p.Stats(), err
	}
	manifest, err := l.Manifest(desc)
	if err != nil {
		t.Fatal(err)
	}
	return desc.Digest, p.Stats(), p.Manifest(ctx, desc, manifest, append(tags, to.Tag)...)
}

func mustPush(t *testing.T, c *Client, to Reference, from *Reference, img ocilayout.ImageSpec, tags ...string) (digest.Digest, Stats) {
	t.Helper()
	d, stats, err := push(t.Context(), t, c, to, from, img, tags...)
	if err != nil {
		t.Fatal(err)
	}
	return d, stats
}

// layoutDigest returns the digest of the same image in a layout.
func layoutDigest(t *testing.T, img ocilayout.ImageSpec) digest.Digest {
	t.Helper()
	l, err := ocilayout.Open(t.Context(), filepath.Join(t.TempDir(), "layout"), ocilayout.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), d, ocilayout.Name{Tag: "v1"}); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// TestPush checks that a push gives the digest of a layout, that tags lead to it, and that nothing is sent twice.
func TestPush(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			f := newFake(t)
			var sent atomic.Int64
			c := client(t, Options{Sent: func(n int64) { sent.Add(n) }})
			img := image(t, nil, compression, part("a", 1, 1<<20), part("b", 2, 1<<10))
			d, stats := mustPush(t, c, f.at("team/hello:v1"), nil, img, "latest")
			if want := layoutDigest(t, img); d != want || f.tag("team/hello", "v1") != want || f.tag("team/hello", "latest") != want {
				t.Errorf("push = %s, and the tags lead to %s and %s; want %s", d, f.tag("team/hello", "v1"), f.tag("team/hello", "latest"), want)
			}
			if stats.Sent != 3 || stats.SentBytes != f.received || sent.Load() != f.received {
				t.Errorf("stats = %+v, progress %d; want 3 blobs of %d bytes", stats, sent.Load(), f.received)
			}
			f.forget()
			if _, stats = mustPush(t, c, f.at("team/hello:v1"), nil, img); stats.Sent != 0 || stats.Present != 3 || f.count("P") != 0 {
				t.Errorf("second push: %+v, %d requests that write; want all blobs present and no such request", stats, f.count("P"))
			}
		})
	}
}

// TestPushKept checks that a layer of the previous image is neither read, sent nor asked for in its own repository,
// and is mounted into another one. If its repository has lost it, it is sent.
func TestPushKept(t *testing.T) {
	f := newFake(t)
	c := client(t, Options{})
	a, b, b2 := part("a", 1, 1<<20), part("b", 2, 1<<10), part("b", 3, 1<<10)
	mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", a, b))
	previous, err := previousIn(t, c, f.at("team/hello:v1"))
	if err != nil {
		t.Fatal(err)
	}
	next := image(t, previous, "gzip", unread(a), b2)

	f.forget()
	_, stats := mustPush(t, c, f.at("team/hello:v2"), nil, next)
	if stats.Present != 1 || stats.Sent != 2 || f.received > 100<<10 || f.count("HEAD /v2/team/hello/blobs") != 2 {
		t.Errorf("push to the same repository: %+v, %d bytes, requests %q; want the layer untouched", stats, f.received, f.asked)
	}
	f.forget()
	_, stats = mustPush(t, c, f.at("other/hello:v2"), nil, next)
	if stats.Mounted != 1 || stats.Sent != 2 || f.count("GET /v2/team/hello/blobs") != 0 {
		t.Errorf("push to another repository: %+v, requests %q; want one mount", stats, f.asked)
	}
	other := newFake(t)
	if _, stats = mustPush(t, c, other.at("other/hello:v2"), nil, next); stats.Sent != 3 || other.tag("other/hello", "v2") != f.tag("team/hello", "v2") {
		t.Errorf("push to another registry: %+v, %s; want 3 blobs sent and the same digest", stats, other.tag("other/hello", "v2"))
	}

	from := f.at("team/hello")
	f.forget()
	if _, stats = mustPush(t, c, f.at("third/hello"), &from, image(t, nil, "gzip", a, b2)); stats.Mounted != 3 || f.received != 0 {
		t.Errorf("push with blobs of another repository: %+v, %d bytes; want 3 mounts", stats, f.received)
	}
	if _, err := c.Push(t.Context(), f.at("third/hello"), &Reference{Registry: "docker.io", Repository: "library/x"}); err == nil {
		t.Error("Push with blobs of another registry = <nil>; want an error")
	}

	// The repository loses a kept blob, which only another repository has: first unreachable, then as the source.
	f.put("team/hello", previous.Layers[0].Descriptor.Digest, nil)
	_, _, err = push(t.Context(), t, c, f.at("team/hello:v3"), nil, image(t, previous, "gzip", a, part("b", 4, 1<<10)))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), previous.Layers[0].Descriptor.Digest.String()) {
		t.Errorf("push with a lost layer: %v; want %v and the digest", err, fs.ErrNotExist)
	}
	previous.Layers[0].Open = func(context.Context) (io.ReadCloser, error) {
		b := f.all("third/hello")[previous.Layers[0].Descriptor.Digest]
		return io.NopCloser(strings.NewReader(string(b))), nil
	}
	if _, _, err := push(t.Context(), t, c, f.at("team/hello:v3"), nil, image(t, previous, "gzip", a, part("b", 4, 1<<10))); err != nil {
		t.Errorf("push with a lost layer that is available elsewhere: %v", err)
	}
}

// unread makes a part fail if it is read.
func unread(p rootfs.Part) rootfs.Part {
	p.Tree = func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, errors.New("the part was read")) }
	return p
}

// TestPushFailures checks that temporary failures are retried. Others are reported, and leave the tag as it was.
func TestPushFailures(t *testing.T) {
	img := image(t, nil, "gzip", part("a", 1, 1<<20), part("b", 2, 1<<10))
	next := image(t, nil, "gzip", part("a", 5, 1<<20), part("b", 6, 1<<10))
	for _, tt := range []struct {
		name  string
		times int // how often each request fails; more than tries means always
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  string // of the error
	}{
		{"500", 2, func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(500); return true }, ""},
		{"429", 2, func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(429); return true }, ""},
		{"reset", 2, func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, ""},
		{"reset in a blob", 2, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			_, _ = io.CopyN(io.Discard, r.Body, 1<<10)
			panic(http.ErrAbortHandler)
		}, ""},
		{"upload forgotten", 1, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || strings.Contains(r.URL.Path, "manifests") {
				return false
			}
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
			return true
		}, ""},
		{"always 503 for blobs", 1000, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			refuse(w, 503, "UNAVAILABLE")
			return true
		}, "push blob sha256:* to */team/hello (7 tries): status 503 Service Unavailable: unavailable: said by the fake"},
		{"denied", 1000, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			refuse(w, 403, "DENIED")
			return true
		}, "push blob sha256:* to */team/hello: status 403 Forbidden: denied: said by the fake"},
		{"manifest refused", 1000, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "manifests") {
				return false
			}
			refuse(w, 400, "MANIFEST_INVALID")
			return true
		}, "push manifest sha256:* to */team/hello:v1: status 400 Bad Request: manifest invalid: said by the fake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.Config.ErrorLog = log.New(io.Discard, "", 0)
			var sent atomic.Int64
			c := client(t, Options{Sent: func(n int64) { sent.Add(n) }})
			old, _ := mustPush(t, c, f.at("team/hello:v1"), nil, img)
			f.forget()
			sent.Store(0)
			var mu sync.Mutex
			seen := make(map[string]int)
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				seen[r.Method+r.URL.String()]++
				n := seen[r.Method+r.URL.String()]
				mu.Unlock()
				return n <= tt.times && tt.fault(w, r)
			}
			d, stats, err := push(t.Context(), t, c, f.at("team/hello:v1"), nil, next)
			if tt.want != "" {
				if err == nil || !matches(err.Error(), tt.want) {
					t.Errorf("push: %v; want %q", err, tt.want)
				}
				if got := f.tag("team/hello", "v1"); got != old {
					t.Errorf("the tag leads to %s; want the old image %s", got, old)
				}
				if tt.name == "denied" && !errors.Is(err, ErrDenied) {
					t.Errorf("push: %v; want %v", err, ErrDenied)
				}
				return
			}
			if err != nil || f.tag("team/hello", "v1") != d || stats.Sent+stats.Present != 3 {
				t.Errorf("push = %v, tag %s, %+v; want success and the tag at %s", err, f.tag("team/hello", "v1"), stats, d)
			}
			if sent.Load() != stats.SentBytes {
				t.Errorf("Sent got %d bytes in total; want %d", sent.Load(), stats.SentBytes)
			}
		})
	}
}

// matches matches s against a pattern in which * stands for anything.
func matches(s, pattern string) bool {
	words := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(s, words[0])
	for _, w := range words[1:] {
		at := strings.Index(rest, w)
		if !ok || at < 0 {
			return false
		}
		rest = rest[at+len(w):]
	}
	return ok && rest == ""
}

// TestPushCancelled checks that a push that is cancelled during an upload ends at once.
func TestPushCancelled(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped, release := errors.New("stopped"), make(chan struct{})
	defer close(release)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		cancel(stopped)
		<-release
		return true
	}
	_, _, err := push(ctx, t, client(t, Options{}), f.at("x"), nil, image(t, nil, "none", part("a", 1, 1<<20)))
	if !errors.Is(err, stopped) || f.tag("x", "latest") != "" {
		t.Errorf("push = %v; want %v", err, stopped)
	}
}

// TestRetryAfter checks that all requests wait for as long as a registry asks.
func TestRetryAfter(t *testing.T) {
	f := newFake(t)
	var mu sync.Mutex
	var until time.Time
	tooEarly := 0
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if until.IsZero() && r.Method == http.MethodPut {
			until = time.Now().Add(time.Second)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return true
		}
		if r.Method == http.MethodPost && time.Now().Before(until.Add(-100*time.Millisecond)) {
			tooEarly++
		}
		return false
	}
	var reported atomic.Int64
	c := client(t, Options{Retrying: func(_ error, wait time.Duration) { reported.Store(int64(wait)) }})
	if _, _, err := push(t.Context(), t, c, f.at("x"), nil, image(t, nil, "none", part("a", 1, 1<<10))); err != nil {
		t.Fatal(err)
	}
	if wait := time.Duration(reported.Load()); wait < time.Second/2 || wait > time.Second {
		t.Errorf("Retrying got a wait of %v; want the registry's 1s", wait)
	}
	if time.Now().Before(until) || tooEarly > 0 {
		t.Errorf("the push ended %v early, with %d early requests", time.Until(until), tooEarly)
	}
}

// TestPrevious checks which image is read as the previous one, and which are refused: foreign and damaged ones.
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

// TestKeptIntoLayout checks that layers of an image in a registry are fetched into a layout, even if connections break,
// and that blobs with wrong content are refused.
func TestKeptIntoLayout(t *testing.T) {
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
			if kept := d == previous.Layers[0].Descriptor.Digest || d == previous.Layers[1].Descriptor.Digest; kept && err == nil {
				t.Errorf("AddImage accepts blob %s, which is %s", d, name)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		f.put("x", d, blob)
	}
}

// TestScheme checks that plain HTTP is used only on this machine or with Insecure,
// and that certificates are checked unless Insecure is set.
func TestScheme(t *testing.T) {
	img := image(t, nil, "none", part("a", 1, 1<<10))
	f := newFake(t)
	secure := newFake(t)
	secure.Server = httptest.NewUnstartedServer(secure)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for _, tt := range []struct {
		name string
		to   *fakeRegistry
		o    Options
		ok   bool
	}{
		{"plain on loopback", f, Options{}, true},
		{"plain, insecure", f, Options{Insecure: true}, true},
		{"TLS, unknown CA", secure, Options{}, false},
		{"TLS, with its CA", secure, Options{CA: ca}, true},
		{"TLS, insecure", secure, Options{Insecure: true}, true},
	} {
		_, _, err := push(t.Context(), t, client(t, tt.o), tt.to.at("x"), nil, img)
		if (err == nil) != tt.ok {
			t.Errorf("%s: push: %v; want success: %v", tt.name, err, tt.ok)
		}
	}
	if _, err := New(Options{CA: []byte("none")}); err == nil {
		t.Error("New with a CA without certificates = <nil>; want an error")
	}
	// A remote registry is never probed for plain HTTP.
	c := client(t, Options{})
	if plain, err := c.isPlain(t.Context(), Reference{Registry: "registry.example.com:80", Repository: "x"}); plain || err != nil {
		t.Errorf("isPlain = %v, %v; want false, <nil>", plain, err)
	}
	for host, want := range map[string]bool{"localhost": true, "localhost:5000": true, "127.1.2.3:80": true, "[::1]:5000": true,
		"localhost.example.com": false, "128.0.0.1": false, "docker.io": false, "0.0.0.0:5000": false} {
		if got := isLoopback(host); got != want {
			t.Errorf("isLoopback(%q) = %v; want %v", host, got, want)
		}
	}
}

// TestSchemeDropped checks that a registry without TLS is recognised even if it drops a connection.
func TestSchemeDropped(t *testing.T) {
	f := newFake(t)
	var dropped atomic.Bool
	f.fault = func(http.ResponseWriter, *http.Request) bool {
		if !dropped.Swap(true) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	want, _ := mustPush(t, client(t, Options{}), f.at("app:v1"), nil, image(t, nil, "none", part("a", 1, 1000)))
	if got := f.tag("app", "v1"); got != want {
		t.Errorf("tag v1 leads to %s; want %s", got, want)
	}
}
