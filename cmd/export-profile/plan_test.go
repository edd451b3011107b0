package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile/storetest"
)

// fakeRegistry is a registry with as much as a push and a shared cache need. It counts changes.
type fakeRegistry struct {
	mu      sync.Mutex
	blobs   map[string][]byte // by repository and digest, and manifests also by tag
	types   map[string]string
	changed int
	fault   func(w http.ResponseWriter, r *http.Request) bool // reports whether it has answered; changed with mu held
}

// newFakeRegistry starts a registry and returns it with its address.
func newFakeRegistry(t *testing.T) (*fakeRegistry, string) {
	r := &fakeRegistry{blobs: make(map[string][]byte), types: make(map[string]string)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, strings.TrimPrefix(server.URL, "http://")
}

func (s *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/v2/")
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		s.changed++
	}
	switch {
	case name == "":
	case r.Method == http.MethodPost:
		w.Header().Set("Location", r.URL.Path+"upload")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		b, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		d := digest.FromBytes(b)
		repository, _, blob := strings.Cut(name, "/blobs/")
		if blob {
			s.blobs[repository+"/blobs/"+d.String()] = b
		} else {
			repository, _, _ = strings.Cut(name, "/manifests/")
			for _, at := range []string{name, repository + "/manifests/" + d.String()} {
				s.blobs[at], s.types[at] = b, r.Header.Get("Content-Type")
			}
		}
		w.Header().Set("Docker-Content-Digest", d.String())
		w.WriteHeader(http.StatusCreated)
	default:
		b, ok := s.blobs[name]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", s.types[name])
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(b)
		}
	}
}

// TestPlanSends checks that image sends the known bytes that plan predicts,
// and that plan changes neither a registry nor a shared cache.
func TestPlanSends(t *testing.T) {
	reg, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	golden := storetest.File(t, "basic.nix-export")
	const hello = "fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	text := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if status := run(t.Context(), args, terminal{out: &out, err: &errs}); status != 0 {
			t.Fatalf("%q exits with %d: %s", args, status, &errs)
		}
		return out.String()
	}
	type made struct {
		Pushed   pushResult  `json:"pushed"`
		Previous imageUpdate `json:"previous"`
	}
	image := func(args ...string) (m made) {
		t.Helper()
		if err := json.Unmarshal([]byte(text(append([]string{"image", "--json", "--from", golden, "--platform", "linux/amd64"}, args...)...)), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	plan := func(args ...string) (p planResult) {
		t.Helper()
		before := reg.changed
		args = append([]string{"plan", "--from", golden, "--platform", "linux/amd64"}, args...)
		if err := json.Unmarshal([]byte(text(append(args, "--json")...)), &p); err != nil {
			t.Fatal(err)
		}
		if reg.changed != before {
			t.Errorf("%q changes the registry", args)
		}
		return p
	}
	// about says whether the sent bytes are the planned ones and a config.
	about := func(sent, planned int64) bool { return sent > planned && sent < planned+8<<10 }

	v1, v2 := "docker://"+address+"/team/hello:v1", "docker://"+address+"/team/hello:v2"
	image("--no-cache", "--layers", "per-path", v1)

	args := []string{"--no-cache", "--profile", hello, "--previous", v1}
	p := plan(append(args, v2)...)
	if p.Send != 0 || p.Unknown != 1 || p.Had == 0 || p.Repository != address+"/team/hello" {
		t.Errorf("plan with --previous: %+v; want nothing known to send, 1 unknown layer, and the rest there", p)
	}
	if alone := plan(args...); alone.Send != p.Send || alone.Had != p.Had || alone.Unknown != p.Unknown {
		t.Errorf("plan without a destination: %+v; want the same as with that of --previous: %+v", alone, p)
	}
	said := text(append([]string{"plan", "--from", golden, v2}, args...)...)
	for _, want := range []string{
		"to send to " + address + "/team/hello: 1 layer of unknown size until built (of 0.1 KiB); it has 1.5 kB\n",
		"layers: 2 kept, 0 rebuilt, 5 dropped, 1 new; a holder of the previous image fetches 1 layer of unknown size until built (of 0.1 KiB) and has 1.5 kB; 0 B of",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("plan says:\n%s; want %q in it", said, want)
		}
	}
	m := image(append(args, v2)...)
	if m.Previous.Had != p.Had || p.Previous == nil || p.Previous.Had != p.Had || p.Previous.Kept != m.Previous.Kept || p.Previous.Added != m.Previous.Added {
		t.Errorf("image says %+v; plan said %+v", m, p.Previous)
	}

	cache := t.TempDir()
	image("--cache", cache, "oci:"+filepath.Join(t.TempDir(), "warm"))
	other := "docker://" + address + "/other/hello:v1"
	p = plan("--cache", cache, other)
	if p.Unknown != 0 || p.Had != 0 || p.Send == 0 || p.Send != p.Cached {
		t.Errorf("plan with a warm cache: %+v; want all known and none there", p)
	}
	if m := image("--cache", cache, other); !about(m.Pushed.Bytes, p.Send) {
		t.Errorf("image sends %d bytes; plan said %d", m.Pushed.Bytes, p.Send)
	}
	if p = plan("--cache", cache, other); p.Send != 0 || p.Had != p.Cached {
		t.Errorf("plan when all is there: %+v", p)
	}

	base := "docker://" + address + "/other/hello:v1"
	p = plan("--no-cache", "--base", base, "--mkdir", "/srv/x", "docker://"+address+"/third/hello:v1")
	if p.Unknown == 0 || p.Send != plan("--cache", cache, other).Cached {
		t.Errorf("plan over a base image: %+v; want its layers to be sent", p)
	}

	public, secret, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("test-1:"+base64.StdEncoding.EncodeToString(secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := []string{"--cache", "docker://" + address + "/cache"}
	image(append(shared, "--cache", t.TempDir(), "--cache-key-file", key, "oci:"+filepath.Join(t.TempDir(), "x"))...)
	p = plan(append(shared, "--cache", filepath.Join(t.TempDir(), "none"), "--trusted-cache-key", "test-1:"+base64.StdEncoding.EncodeToString(public))...)
	if p.Unknown != 0 || p.Fetched == 0 || p.Fetched != p.Send || p.Layers[0].How != "fetched" {
		t.Errorf("plan with a shared cache: %+v; want all layers fetched", p)
	}

	if p = plan("--no-cache", "docker://127.0.0.1:1/x"); p.Unknown == 0 || p.Had != 0 {
		t.Errorf("plan for a registry that does not answer: %+v; want nothing known", p)
	}
}
