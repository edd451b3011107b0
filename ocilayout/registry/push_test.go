package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

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

// TestPushReuse checks that a push to the repository of the previous image neither reads, sends nor asks for a layer that it reuses,
// and that a push to another repository mounts the layer. If the repository has lost the layer, it is sent.
func TestPushReuse(t *testing.T) {
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
		t.Errorf("push to the same repository: %+v, %d bytes, requests %q; want the layer untouched", stats, f.received, f.requests)
	}
	f.forget()
	_, stats = mustPush(t, c, f.at("other/hello:v2"), nil, next)
	if stats.Mounted != 1 || stats.Sent != 2 || f.count("GET /v2/team/hello/blobs") != 0 {
		t.Errorf("push to another repository: %+v, requests %q; want one mount", stats, f.requests)
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

	// The repository loses the reused blob. First its source has lost it, too; then the source has it.
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

// TestPushFailures checks that temporary failures are retried. Others are reported, and leave the tag as it was.
func TestPushFailures(t *testing.T) {
	img := image(t, nil, "gzip", part("a", 1, 1<<20), part("b", 2, 1<<10))
	next := image(t, nil, "gzip", part("a", 5, 1<<20), part("b", 6, 1<<10))
	for _, tt := range []struct {
		name  string
		times int // how often each request fails; 1000 means always
		fault func(w http.ResponseWriter, r *http.Request) bool
		want  string // the error, as a pattern
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

// matches matches s against a pattern in which * stands for anything.
func matches(s, pattern string) bool {
	words := strings.Split(pattern, "*")
	first, last := words[0], words[len(words)-1]
	rest, ok := strings.CutPrefix(s, first)
	if len(words) == 1 {
		return ok && rest == ""
	}
	for _, w := range words[1 : len(words)-1] {
		at := strings.Index(rest, w)
		if !ok || at < 0 {
			return false
		}
		rest = rest[at+len(w):]
	}
	return ok && strings.HasSuffix(rest, last)
}
