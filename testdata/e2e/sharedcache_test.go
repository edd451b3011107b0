package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cacheKeys writes a secret key and its public key, both made by Nix, to the files "secret" and "public" in dir.
func cacheKeys(t *testing.T, p person, dir string) {
	t.Helper()
	secret, public := signingKey(t, "cache.example.com-1")
	writeFile(t, filepath.Join(dir, "secret"), readFile(t, secret))
	writeFile(t, filepath.Join(dir, "public"), readFile(t, public))
	if err := p.own(dir); err != nil {
		t.Fatal(err)
	}
}

// TestSharedRunners checks that a runner with an empty disk and another runner's shared cache opens no file of the store,
// and makes the same image.
func TestSharedRunners(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	v := startProxy(t, startRegistry(t, ""))
	cacheKeys(t, p, dir)
	cache := []string{"--cache", "docker://" + v.address + "/shared/cache"}
	signing := append(cache[:2:2], "--cache-key-file", "secret")
	trusting := append(cache[:2:2], "--trusted-cache-key", "public")
	image := func(args ...string) []string { return append([]string{"image", "--profile", lab.profile}, args...) }

	want := p.export(t, dir, image("--no-cache", "oci:alone:v1")...)
	wantOpened(t, p, dir, want)
	forgetCache(t, p)
	v.writes = nil
	if got := p.export(t, dir, image(append(trusting, "oci:reader:v1")...)...); got != want || len(v.writes) > 0 {
		t.Errorf("without the key: %s, and %d writing requests; want %s and none", got, len(v.writes), want)
	}
	forgetCache(t, p)
	start := time.Now()
	if got := p.export(t, dir, image(append(signing, "docker://"+v.address+"/team/curl:v1")...)...); got != want {
		t.Errorf("the first runner makes %s; want %s", got, want)
	}
	t.Logf("the first runner took %v", time.Since(start))

	for _, tt := range []struct {
		name    string
		traffic int64 // maximum bytes on the wire
		dest    string
	}{
		{"into the same repository", 256 << 10, "docker://" + v.address + "/team/curl:v2"},
		{"into another repository", 256 << 10, "docker://" + v.address + "/other/curl:v1"},
		{"into a layout", 1 << 40, "oci:layout:v1"},
		{"into an archive", 1 << 40, "oci-archive:archive.tar"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forgetCache(t, p)
			before := v.bytes.Load()
			start := time.Now()
			got, opened := traceStore(t, p, dir, image(append(trusting, tt.dest)...)...)
			if got != want {
				t.Errorf("the second runner makes %s; want %s", got, want)
			}
			traffic := v.bytes.Load() - before
			t.Logf("%d bytes on the wire in %v", traffic, time.Since(start))
			if traffic > tt.traffic {
				t.Errorf("%d bytes on the wire; want at most %d", traffic, tt.traffic)
			}
			if len(opened) > 0 {
				t.Errorf("the runner opened %d files of the store:\n%s", len(opened), strings.Join(opened[:min(len(opened), 10)], "\n"))
			}
		})
	}
	wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v1": want})
	checkPushed(t, v.address, "team/curl", "v2")
	checkPushed(t, v.address, "other/curl", "v1")
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", v.address+"/other/curl:v1"))
	if r := podmanRun(t, p, dir, v.address+"/other/curl:v1", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}

	// Layers of a previous image are reused unread if the key has signed them. Others are reused only after reading.
	t.Run("previous", func(t *testing.T) {
		tree := filepath.Join(dir, "leaf")
		if err := os.MkdirAll(tree, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(tree, "data"), "a leaf of the shared cache's test")
		leaf := strings.TrimSpace(do(t, nix("nix-store", "--add", tree)).stdout)
		t.Cleanup(func() { do(t, nix("nix-store", "--delete", leaf)) })
		unsigned := append(image("--no-cache", "--compression", "zstd:2"), "docker://"+v.address+"/team/unsigned:v1")
		p.export(t, dir, unsigned...)
		for _, tt := range []struct {
			name, previous string
			more           []string
			kept           bool
		}{
			{"signed", "team/curl:v1", trusting, true},
			{"not signed", "team/unsigned:v1", trusting, false},
			{"read", "team/unsigned:v1", append(trusting[:4:4], "--verify-previous"), true},
			{"believed", "team/unsigned:v1", nil, true},
		} {
			forgetCache(t, p)
			args := image("--profile", leaf, "--previous", "docker://"+v.address+"/"+tt.previous)
			args = append(append(args, tt.more...), "docker://"+v.address+"/team/next:"+strings.ReplaceAll(tt.name, " ", "-"))
			r := do(t, p.command(dir, lab.program, args...))
			if kept := !strings.Contains(r.stderr, "layers: 0 kept"); kept != tt.kept {
				t.Errorf("%s: layers are reused: %v; want %v: %v", tt.name, kept, tt.kept, r)
			}
			if doubted := strings.Contains(r.stderr, "no trusted key signed"); doubted == tt.kept {
				t.Errorf("%s: %v", tt.name, r)
			}
			checkPushed(t, v.address, "team/next", strings.ReplaceAll(tt.name, " ", "-"))
		}
	})
}

// TestPoisonedSharedCache checks that an attacker who can write to the registry but lacks the key can only make runs slower.
func TestPoisonedSharedCache(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	registry := startRegistry(t, "")
	v := startProxy(t, registry)
	cacheKeys(t, p, dir)
	run := func(args ...string) result {
		t.Helper()
		forgetCache(t, p)
		args = append([]string{"image", "--debug", "--profile", dash(t), "--cache", "docker://" + v.address + "/shared/cache"}, args...)
		return do(t, p.command(dir, lab.program, args...))
	}
	warm := func() string { return strings.TrimSpace(run("--cache-key-file", "secret", "oci:warm:v1").stdout) }
	want := warm()
	var list struct{ Tags []string }
	if err := json.Unmarshal(registryCall(t, http.MethodGet, registry, "shared/cache/tags/list", nil), &list); err != nil || len(list.Tags) < 4 {
		t.Fatalf("the cache has the tags %q, %v", list.Tags, err)
	}
	original := make(map[string]ispec.Manifest)
	for _, tag := range list.Tags {
		var m ispec.Manifest
		if err := json.Unmarshal(registryCall(t, http.MethodGet, registry, "shared/cache/manifests/"+tag, nil), &m); err != nil {
			t.Fatal(err)
		}
		original[tag] = m
	}
	r := run("--trusted-cache-key", "public", "oci:good:v1")
	if strings.Contains(r.stderr, ": built") || strings.TrimSpace(r.stdout) != want {
		t.Fatalf("the intact cache is not used: %v", r)
	}
	blobs := func(answer func(w http.ResponseWriter, size int64)) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/shared/cache/blobs/") {
				return false
			}
			d := filepath.Base(r.URL.Path)
			for _, m := range original {
				if m.Layers[0].Digest.String() == d {
					answer(w, m.Layers[0].Size)
					return true
				}
			}
			return false
		}
	}
	for i, tt := range []struct {
		name   string
		change func(tag string, m *ispec.Manifest)
		fault  func(w http.ResponseWriter, r *http.Request) bool
	}{
		{"unsigned", func(_ string, m *ispec.Manifest) { delete(m.Annotations, "export-profile.signature") }, nil},
		{"signed by another", func(_ string, m *ispec.Manifest) {
			s := m.Annotations["export-profile.signature"]
			m.Annotations["export-profile.signature"] = strings.Replace(s, "cache.example.com-1:", "cache.example.com-2:", 1)
		}, nil},
		{"a signature of something else", func(tag string, m *ispec.Manifest) {
			for other, o := range original {
				if other != tag && o.Annotations["export-profile.claim"] != m.Annotations["export-profile.claim"] {
					m.Annotations["export-profile.signature"] = o.Annotations["export-profile.signature"]
				}
			}
		}, nil},
		{"another claim", func(tag string, m *ispec.Manifest) {
			kind, _, _ := strings.Cut(tag, "-")
			for _, other := range list.Tags {
				if o := original[other]; strings.HasPrefix(other, kind) && o.Annotations["export-profile.claim"] != m.Annotations["export-profile.claim"] {
					*m = o
					return
				}
			}
			m.Annotations = nil // one tag of this kind exists
		}, nil},
		{"another diffID", func(_ string, m *ispec.Manifest) {
			m.Annotations["export-profile.claim"] = strings.Replace(m.Annotations["export-profile.claim"], `"sha256:`, `"sha256:0`, 1)
		}, nil},
		{"cut blobs", nil, blobs(func(w http.ResponseWriter, size int64) {
			w.Header().Set("Content-Length", fmt.Sprint(size/2))
			_, _ = w.Write(make([]byte, size/2))
		})},
		{"other bytes", nil, blobs(func(w http.ResponseWriter, size int64) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(make([]byte, size))
		})},
		{"no blobs", nil, blobs(func(w http.ResponseWriter, _ int64) { w.WriteHeader(http.StatusNotFound) })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, tag := range list.Tags {
				m := original[tag]
				if tt.change == nil {
					continue
				}
				b, err := json.Marshal(m) // a deep copy
				if err == nil {
					m = ispec.Manifest{}
					err = json.Unmarshal(b, &m)
				}
				if err != nil {
					t.Fatal(err)
				}
				tt.change(tag, &m)
				if b, err = json.Marshal(m); err != nil {
					t.Fatal(err)
				}
				registryCall(t, http.MethodPut, registry, "shared/cache/manifests/"+tag, b)
			}
			v.mu.Lock()
			v.fault = tt.fault
			v.mu.Unlock()
			name := fmt.Sprintf("poisoned%d", i)
			r := run("--trusted-cache-key", "public", "oci:"+name+":v1")
			if got := strings.TrimSpace(r.stdout); got != want {
				t.Errorf("the image is %s; want %s: %v", got, want, r)
			}
			if strings.Contains(r.stderr, ": fetched") || !strings.Contains(r.stderr, ": built") {
				t.Errorf("a poisoned entry is used: %v", r)
			}
			wantLayout(t, filepath.Join(dir, name), map[string]string{"v1": want})
			v.mu.Lock()
			v.fault = nil
			v.mu.Unlock()

			// A run with the key repairs the cache.
			if got := warm(); got != want {
				t.Errorf("the image is %s; want %s", got, want)
			}
			if r := run("--trusted-cache-key", "public", "oci:again:v1"); strings.Contains(r.stderr, ": built") {
				t.Errorf("the cache stays poisoned: %v", r)
			}
		})
	}
}
