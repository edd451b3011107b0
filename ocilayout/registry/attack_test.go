package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// TestSecretsStay checks that a login does not reach other hosts: where a registry redirects, where it wants a blob sent,
// and where its token endpoint redirects.
func TestSecretsStay(t *testing.T) {
	const login = "me:secret"
	for _, entry := range []string{password(login), `{"auth":"` + encoded("me:") + `","identitytoken":"secret"}`} {
		for _, tt := range []struct {
			name  string
			fault func(f *fakeRegistry, elsewhere string) fault
		}{
			{"redirects of everything", func(_ *fakeRegistry, elsewhere string) fault {
				return matching("* /v2/*/*", func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
				})
			}},
			{"redirects after the login", func(f *fakeRegistry, elsewhere string) fault {
				return func(w http.ResponseWriter, r *http.Request) bool {
					if r.Header.Get("Authorization") == "" || r.URL.Path == "/token" {
						return false
					}
					http.Redirect(w, r, elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
					return true
				}
			}},
			{"a Location", func(f *fakeRegistry, elsewhere string) fault {
				return func(w http.ResponseWriter, r *http.Request) bool {
					if r.Header.Get("Authorization") == "" || r.Method != http.MethodPost || r.URL.Path == "/token" {
						return false
					}
					w.Header().Set("Location", elsewhere+"/v2/team/hello/blobs/uploads/1")
					w.WriteHeader(http.StatusAccepted)
					return true
				}
			}},
			{"a token endpoint that redirects", func(_ *fakeRegistry, elsewhere string) fault {
				return matching("* /token", func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere+"/token", http.StatusPermanentRedirect)
				})
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var mu sync.Mutex
				var leaked []string
				elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					_ = r.ParseForm()
					if r.Header.Get("Authorization") != "" || strings.Contains(fmt.Sprint(r.Form, r.Header), "secret") {
						leaked = append(leaked, fmt.Sprint(r.Method, r.URL, r.Header, r.Form))
					}
					w.Header().Set("Www-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				}))
				defer elsewhere.Close()
				f := newFake(t)
				c := client(t, withLogin(t, f, entry))
				f.withTokens(&bearer{login: login, refresh: "secret"})
				f.fault = tt.fault(f, elsewhere.URL)
				_, _, err := push(t.Context(), t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("push = %v; want an error without the secret", err)
				}
				if _, err := readImage(t, c, f.at("team/hello:v1")); err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("Find = %v; want an error without the secret", err)
				}
				if len(leaked) > 0 {
					t.Errorf("another host got %q", leaked)
				}
			})
		}
	}
}

// TestForbiddenAddresses checks where a registry elsewhere, or one on this machine, may send us.
func TestForbiddenAddresses(t *testing.T) {
	never := []string{"169.254.169.254", "fe80::1%lo", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "0.0.0.0", "::",
		"100.100.100.200", "168.63.129.16", "fd00:ec2::254"}
	local := []string{"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}
	always := []string{"10.0.0.1", "192.168.1.1", "203.0.113.1", "2001:db8::1"}
	g := &guard{local: make(map[string]bool)}
	check := func(origin string, want bool, addresses ...string) {
		t.Helper()
		ctx := context.WithValue(context.WithValue(t.Context(), originKey{}, origin), foreignKey{}, origin)
		for _, a := range addresses {
			if err := g.control(ctx, "tcp", net.JoinHostPort(a, "80"), nil); errors.Is(err, errForbiddenAddress) == want {
				t.Errorf("%s sends us to %s: %v; want allowed: %v", origin, a, err, want)
			}
		}
	}
	check("registry.example.com", false, never...)
	check("registry.example.com", false, local...)
	check("registry.example.com", true, always...)
	check("localhost:5000", false, never...)
	check("localhost:5000", true, local...)
	// A name of this machine becomes known when it is contacted.
	if err := g.control(context.WithValue(t.Context(), originKey{}, "registry.test"), "tcp", "127.0.0.1:80", nil); err != nil {
		t.Error(err)
	}
	check("registry.test", true, local...)
	check("registry.test", false, never...)

	// The same for whole requests: by number and by name, and without retries.
	f := newFake(t)
	at := "http://localhost:1/latest"
	f.fault = matching("GET */blobs/*", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, at, http.StatusFound) })
	c := client(t, Options{})
	mustPush(t, c, f.at("x:v1"), nil, image(t, nil, "none", part("a", 1, 1<<10)))
	for _, at = range []string{"http://169.254.169.254/latest", "http://169.254.169.254.:80/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/"} {
		if _, err := previousIn(t, c, f.at("x:v1")); !errors.Is(err, errForbiddenAddress) || strings.Contains(err.Error(), "tries") {
			t.Errorf("a redirect to %s: %v; want %v without retries", at, err, errForbiddenAddress)
		}
	}
	for _, at := range []string{"http://localhost:1/", "http://localhost.:1/", "http://127.0.0.1:1/", "http://[::1]:1/"} {
		r, err := http.NewRequestWithContext(context.WithValue(t.Context(), originKey{}, "registry.example.com"), http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := c.http.Do(r); !errors.Is(err, errForbiddenAddress) {
			t.Errorf("registry.example.com sends us to %s: %v, %v; want %v", at, answer, err, errForbiddenAddress)
		}
	}
}

// TestHelperAttacks checks that credential helpers that hang, print too much or fail end in time, and that no error has the secret.
func TestHelperAttacks(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"hangs":   `sleep 60`,
		"forks":   `sleep 60 & echo '{"Username":"a","Secret":"secret"}'`,
		"floods":  `exec head -c 1000000000 /dev/zero`,
		"shouts":  `head -c 10000000 /dev/zero >&2; echo '{"Username":"a","Secret":"secret"}'`,
		"fails":   `echo "it is locked"; exit 1`,
		"leaks":   `echo '{"Username":"a","Secret":"secret"}'; exit 1`,
		"escapes": `printf 'locked \033[2J\n'; exit 1`,
		"prints":  `echo secret`,
		"lists":   `[ "$#" = 1 ] && [ "$1" = get ] && [ "$(cat)" = r.io ] && echo '{"Username":"a","Secret":"secret"}'`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	stderr := os.Stderr
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = null
	defer func() { os.Stderr = stderr }()
	for name, want := range map[string]string{
		"hangs": "it did not answer within", "forks": "WaitDelay", "floods": "it printed more than 64 KiB", "shouts": "", "fails": "it is locked",
		"leaks": "exit status 1", "escapes": "locked ?[2J", "prints": "it did not print a login", "lists": "", "../x": "its name is a path", "missing": "not found",
	} {
		limit := 10 * time.Second
		if name == "hangs" {
			limit = 500 * time.Millisecond
		}
		begin := time.Now()
		found, err := askHelper(t.Context(), name, "r.io", limit)
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		switch {
		case want == "" && (err != nil || found.Password != "secret"):
			t.Errorf("%s = %q, %v; want a login", name, found.Password, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s = %v; want %q without the secret", name, err, want)
		}
	}
}

// TestHostileDigests puts bad digests and sizes into what a registry serves. Reading fails, and no request leaves the repository.
func TestHostileDigests(t *testing.T) {
	good := digest.FromString("x")
	bad := map[string]digest.Digest{
		"leads out":     "sha256:../../../../v2/secret/blobs/" + good,
		"path":          "../../secret",
		"upper case":    digest.Digest("sha256:" + strings.ToUpper(good.Encoded())),
		"algorithm":     digest.Digest("SHA256:" + good.Encoded()),
		"sha512":        digest.SHA512.FromString("x"),
		"short":         good[:len(good)-2],
		"long":          good + "00",
		"empty":         "",
		"query":         good + "?x",
		"line feed":     good + "\n",
		"another sha":   digest.Digest("sha1:" + good.Encoded()[:40]),
		"short sha512":  digest.Digest("sha512:" + good.Encoded()),
		"percent":       "sha256:%2e%2e%2f" + good[16:],
		"nothing after": "sha256:",
	}
	for name, d := range bad {
		t.Run(name, func(t *testing.T) { hostile(t, func(*ispec.Descriptor) bool { return true }, d, 3) })
	}
	for name, size := range map[string]int64{"2^62": 1 << 62, "2^63-1": 1<<63 - 1, "-1": -1, "-2^63": -1 << 63} {
		t.Run("size "+name, func(t *testing.T) { hostile(t, func(*ispec.Descriptor) bool { return false }, "", size) })
	}
}

// hostile changes one descriptor at a time in the manifest of an image, and in an index, and reads the result in all ways.
func hostile(t *testing.T, digested func(*ispec.Descriptor) bool, d digest.Digest, size int64) {
	f := newFake(t)
	c := client(t, Options{})
	mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10), part("b", 2, 1<<10)))
	spoil := func(to *ispec.Descriptor) {
		if digested(to) {
			to.Digest = d
		} else {
			to.Size = size
		}
	}
	whole := f.manifest("team/hello", "v1")
	for _, where := range []string{"config", "layer", "diffID", "index", "child's config"} {
		var m ispec.Manifest
		if err := json.Unmarshal(whole, &m); err != nil {
			t.Fatal(err)
		}
		set := func(tag string, v any) ispec.Descriptor {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.manifests["team/hello"][tag] = b
			f.manifests["team/hello"][digest.FromBytes(b).String()] = b
			return descriptorOf(ispec.MediaTypeImageManifest, b)
		}
		inIndex := func(child ispec.Descriptor) {
			child.Platform = &ispec.Platform{OS: "linux", Architecture: "amd64"}
			if where == "index" {
				spoil(&child)
			}
			set("bad", ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{child}})
		}
		switch where {
		case "config":
			spoil(&m.Config)
		case "layer":
			spoil(&m.Layers[1])
		case "child's config":
			spoil(&m.Config)
		case "diffID":
			if d == "" && size != 3 { // it has no size
				continue
			}
			var config map[string]any
			if err := json.Unmarshal(f.all("team/hello")[m.Config.Digest], &config); err != nil {
				t.Fatal(err)
			}
			config["rootfs"].(map[string]any)["diff_ids"].([]any)[1] = string(d)
			b, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			m.Config = descriptorOf(m.Config.MediaType, b)
			f.put("team/hello", m.Config.Digest, b)
		}
		child := set("bad", m)
		if where == "index" || where == "child's config" {
			inIndex(child)
		}
		f.forget()
		at := f.at("team/hello:bad")
		if _, err := previousIn(t, c, at); err == nil {
			t.Errorf("%s: ReadPrevious = <nil>; want an error", where)
		}
		read, err := readImage(t, c, at)
		if err == nil {
			_, err = read.Tree(t.Context(), ocilayout.TreeOptions{})
		}
		if err == nil {
			t.Errorf("%s: reading the image = <nil>; want an error", where)
		}
		if err := verified(t.Context(), c, at); err == nil {
			t.Errorf("%s: verify = <nil>; want problems", where)
		}
		for _, r := range f.requests {
			if !strings.Contains(r, " /v2/team/hello/") || strings.Contains(r, "..") || strings.Contains(r, "%") {
				t.Errorf("%s: it requests %q", where, r)
			}
		}
	}
	// Of a list of referrers, only what is sound is kept.
	var m ispec.Manifest
	if err := json.Unmarshal(whole, &m); err != nil {
		t.Fatal(err)
	}
	subject := descriptorOf(ispec.MediaTypeImageManifest, whole)
	sound, evil := m.Layers[0], m.Layers[1]
	spoil(&evil)
	b, err := json.Marshal(ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{evil, sound}})
	if err != nil {
		t.Fatal(err)
	}
	tag := strings.Replace(subject.Digest.String(), ":", "-", 1)
	f.mu.Lock()
	f.manifests["team/hello"][tag] = b
	f.mu.Unlock()
	p, err := c.Push(t.Context(), f.at("team/hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err := p.repo.taggedReferrers(t.Context(), subject.Digest)
	want := 1
	if evil.Digest.Validate() == nil && evil.Size >= 0 {
		want = 2 // it may be right: nothing here reads it
	}
	if err != nil || len(index.Manifests) != want {
		t.Errorf("referrers = %v, %v; want %d of them", index.Manifests, err, want)
	}
}
