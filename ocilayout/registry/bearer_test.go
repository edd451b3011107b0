package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/export-profile/export-profile/ocilayout"
)

// bearer makes a registry require tokens, as most public ones do. It says where to get a token and for which scope.
// A token is valid only for the repositories and actions that were requested.
type bearer struct {
	login   string            // NAME:PASSWORD that may push and pull
	refresh string            // identity token that may push and pull
	denied  map[string]string // actions, pull or push, that are denied to all, by repository
	strict  bool              // refuses a request for too much, instead of granting a part of it

	mu     sync.Mutex
	tokens map[string][]string // valid tokens, with their "REPOSITORY:ACTION"
	given  []string            // "WHO SCOPES" of each token that was given
	expire int                 // number of the request at which all tokens expire once, later if that request is the first with its token
	served int                 // number of requests
	used   string              // token of the last request
}

// withTokens makes the registry require tokens.
func (f *fakeRegistry) withTokens(b *bearer) *bearer {
	b.tokens = make(map[string][]string)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bearer = b
	return b
}

// serveToken serves the token endpoint.
func (b *bearer) serveToken(w http.ResponseWriter, r *http.Request) {
	scopes, service, who := r.URL.Query()["scope"], r.URL.Query().Get("service"), "anonymous"
	if name, password, ok := r.BasicAuth(); ok {
		if name+":"+password != b.login {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		who = name
	}
	if r.Method == http.MethodPost {
		if b.refresh == "" || r.PostFormValue("grant_type") != "refresh_token" || r.PostFormValue("refresh_token") != b.refresh {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		scopes, service, who = strings.Fields(r.PostFormValue("scope")), r.PostFormValue("service"), "identity"
	}
	if service != "fake" {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED")
		return
	}
	var granted []string
	for _, s := range scopes {
		words := strings.Split(s, ":")
		for _, action := range strings.Split(words[2], ",") {
			if b.denied[words[1]] == action || action != "pull" && who == "anonymous" {
				if b.strict {
					refuse(w, http.StatusForbidden, "DENIED")
					return
				}
				continue
			}
			granted = append(granted, words[1]+":"+action)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.given = append(b.given, who+" "+strings.Join(scopes, " "))
	token := fmt.Sprintf("token-%d", len(b.given))
	b.tokens[token] = granted
	name := "token"
	if r.Method == http.MethodPost {
		name = "access_token"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{name: token, "expires_in": 60})
}

// allows reports whether a request has a valid token. If not, it answers the request.
func (b *bearer) allows(w http.ResponseWriter, r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	repository := path
	for _, end := range []string{"/blobs/", "/manifests/", "/referrers/"} {
		repository, _, _ = strings.Cut(repository, end)
	}
	needs, scope := []string{repository + ":pull"}, "repository:"+repository+":pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		needs, scope = append(needs, repository+":push"), scope+",push"
	}
	if from := r.URL.Query().Get("from"); from != "" {
		needs, scope = append(needs, from+":pull"), scope+" repository:"+from+":pull"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if b.served++; b.served >= b.expire && b.expire > 0 && token == b.used {
		clear(b.tokens)
		b.expire = 0
	}
	good, has := true, b.tokens[token]
	b.used = token
	for _, n := range needs {
		good = good && slices.Contains(has, n)
	}
	if !good {
		w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="fake",scope=%q`, r.Host, scope))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	}
	return good
}

// forget returns the tokens given since its last call, in order, and invalidates all.
func (b *bearer) forget() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	given := b.given
	clear(b.tokens)
	b.given = nil
	slices.Sort(given)
	return given
}

// pending reports whether the tokens have not expired yet.
func (b *bearer) pending() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.expire > 0
}

// withLogin returns options with an auth file for one registry.
func withLogin(t *testing.T, f *fakeRegistry, entry string) Options {
	t.Helper()
	name := filepath.Join(t.TempDir(), "auth.json")
	text := fmt.Sprintf(`{"auths":{%q:%s}}`, f.at("x").Registry, entry)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{AuthFiles: []string{name}}
}

func password(login string) string { return `{"auth":"` + encoded(login) + `"}` }

// wantTokens checks which tokens were given.
func wantTokens(t *testing.T, b *bearer, doing string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := b.forget(); !slices.Equal(got, want) {
		t.Errorf("%s: tokens given for %q; want %q", doing, got, want)
	}
}

// TestBearerPush checks that one token is enough for a push, and one more for mounts from a second repository.
// The login must go only to the token endpoint. Reading must work without one.
func TestBearerPush(t *testing.T) {
	for _, entry := range []string{password("me:secret"), `{"auth":"` + encoded("me:") + `","identitytoken":"refresh"}`} {
		f := newFake(t)
		b := f.withTokens(&bearer{login: "me:secret", refresh: "refresh"})
		who := "me"
		if strings.Contains(entry, "identitytoken") {
			who = "identity"
		}
		c, anonymous := client(t, withLogin(t, f, entry)), client(t, Options{})
		x, y, y2 := part("x", 1, 1<<20), part("y", 2, 1<<10), part("y", 3, 1<<10)
		d, _ := mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", x, y), "latest")
		if got := f.tag("team/hello", "v1"); got != d {
			t.Errorf("tag v1 leads to %q; want %s", got, d)
		}
		wantTokens(t, b, "push", who+" repository:team/hello:pull,push")

		s := mustFind(t, anonymous, f.at("team/hello:v1"))
		r, err := s.Open(t.Context(), s.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil || r.Close() != nil {
			t.Error(err)
		}
		previous, err := previousIn(t, anonymous, f.at("team/hello:v1"))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := previous.Layers[0].Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, layer); err != nil || layer.Close() != nil {
			t.Error(err)
		}
		wantTokens(t, b, "pull", "anonymous repository:team/hello:pull", "anonymous repository:team/hello:pull")

		next := image(t, previous, "gzip", unread(x), y2)
		if _, stats := mustPush(t, c, f.at("team/hello:v2"), nil, next); stats.Present != 1 || stats.Sent != 2 {
			t.Errorf("push to the same repository: %+v; want one blob present and two sent", stats)
		}
		wantTokens(t, b, "push over a previous image", who+" repository:team/hello:pull,push")
		if _, stats := mustPush(t, c, f.at("other/hello:v2"), nil, next); stats.Mounted != 1 || stats.Sent != 2 {
			t.Errorf("push to another repository: %+v; want a mount", stats)
		}
		wantTokens(t, b, "push with a mount", who+" repository:other/hello:pull,push",
			who+" repository:other/hello:pull,push repository:team/hello:pull")
		from := f.at("team/hello")
		if _, stats := mustPush(t, c, f.at("third/hello:v2"), &from, image(t, nil, "gzip", x, y2)); stats.Mounted != 3 {
			t.Errorf("push with blobs of another repository: %+v; want three mounts", stats)
		}
		b.forget()
		if _, _, err := push(t.Context(), t, anonymous, f.at("team/hello:v3"), nil, next); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("push without a login: %v; want status 401", err)
		}
	}
}

// TestBearerMountDenied checks that blobs are sent if the second repository may not be read,
// with a registry that refuses such a token, and with one that grants it for the rest.
func TestBearerMountDenied(t *testing.T) {
	for _, strict := range []bool{false, true} {
		f := newFake(t)
		b := f.withTokens(&bearer{login: "me:secret"})
		c := client(t, withLogin(t, f, password("me:secret")))
		img := image(t, nil, "gzip", part("x", 1, 1<<20), part("y", 2, 1<<10))
		mustPush(t, c, f.at("secret/base:v1"), nil, img)
		f.mu.Lock()
		b.denied, b.strict = map[string]string{"secret/base": "pull"}, strict
		f.mu.Unlock()
		b.forget()
		from := f.at("secret/base")
		d, stats, err := push(t.Context(), t, c, f.at("team/hello:v1"), &from, img)
		if err != nil || stats.Sent != 3 || f.tag("team/hello", "v1") != d {
			t.Errorf("strict %v: push with blobs of an unreadable repository = %+v, %v; want 3 blobs sent", strict, stats, err)
		}
	}
}

// TestBearerDenied checks that an error of the token endpoint names the action that needed the token.
func TestBearerDenied(t *testing.T) {
	f := newFake(t)
	f.withTokens(&bearer{login: "me:secret", denied: map[string]string{"team/hello": "push"}, strict: true})
	img := image(t, nil, "gzip", part("x", 1, 1<<10))
	_, _, err := push(t.Context(), t, client(t, withLogin(t, f, password("me:secret"))), f.at("team/hello:v1"), nil, img)
	if err == nil || !matches(err.Error(), "push blob sha256:* to */team/hello: status 403 Forbidden: denied: said by the fake") {
		t.Errorf("push without permission: %v; want status 403", err)
	}
	_, _, err = push(t.Context(), t, client(t, withLogin(t, f, password("me:wrong"))), f.at("team/other:v1"), nil, img)
	if err == nil || !matches(err.Error(), "push blob sha256:* to */team/other: status 401 Unauthorized: unauthorized: said by the fake") {
		t.Errorf("push with a wrong password: %v; want status 401", err)
	}
}

// TestBearerExpiry checks that tokens may expire at any request: new ones are requested, and interrupted uploads repeated.
func TestBearerExpiry(t *testing.T) {
	img := image(t, nil, "gzip", part("x", 1, 1<<20)) // one request after the other
	expired := 0
	for at := 1; ; at++ {
		f := newFake(t)
		b := f.withTokens(&bearer{login: "me:secret", expire: at})
		c := client(t, withLogin(t, f, password("me:secret")))
		d, stats, err := push(t.Context(), t, c, f.at("team/hello:v1"), nil, img)
		if err != nil || stats.Sent != 2 || f.tag("team/hello", "v1") != d {
			t.Errorf("push with tokens that expire at request %d = %+v, %v; want 2 blobs sent", at, stats, err)
		}
		previous, err := previousIn(t, c, f.at("team/hello:v1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range previous.Layers {
			r, err := l.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n != l.Descriptor.Size || r.Close() != nil {
				t.Errorf("tokens expire at request %d: a layer has %d bytes, %v; want %d", at, n, err, l.Descriptor.Size)
			}
		}
		if b.pending() {
			break
		}
		expired++
	}
	if expired < 8 {
		t.Errorf("tokens expired in %d runs; want at least 8", expired)
	}
}

// TestBearerCache checks that a shared cache is written with a login and read without one.
func TestBearerCache(t *testing.T) {
	f := newFake(t)
	b := f.withTokens(&bearer{login: "me:secret"})
	parts := image(t, nil, "gzip", part("x", 1, 1<<20), part("y", 2, 1<<10)).Layers
	share := func(o Options, keys Keys) (SharedCacheStats, *SharedCache) {
		t.Helper()
		cache, err := client(t, o).SharedCache(t.Context(), f.at("cache/layers"), nil, keys)
		if err != nil {
			t.Fatal(err)
		}
		img := image(t, nil, "gzip", parts[0].Parts[0], parts[1].Parts[0])
		if img.Layers, err = cache.Find(t.Context(), img.Layers, img.Compression, nil); err != nil {
			t.Fatal(err)
		}
		l, err := ocilayout.Open(t.Context(), filepath.Join(t.TempDir(), "layout"), ocilayout.Options{Record: cache.Keep})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.AddImage(t.Context(), img); err != nil {
			t.Fatal(err)
		}
		return cache.Stats(), cache
	}
	stats, cache := share(withLogin(t, f, password("me:secret")), signer(1))
	if stats.Written != 2 || cache.Err() != nil {
		t.Errorf("Stats of the first machine = %+v, %v; want 2 layers written", stats, cache.Err())
	}
	// Layers are transferred concurrently, so each may request its own token.
	wantKinds := func(doing string, want ...string) {
		t.Helper()
		if got := slices.Compact(b.forget()); !slices.Equal(got, want) {
			t.Errorf("%s: tokens given for %q; want %q", doing, got, want)
		}
	}
	wantKinds("write the cache", "me repository:cache/layers:pull", "me repository:cache/layers:pull,push")
	stats, cache = share(Options{}, reader(signer(1)))
	if stats.Found != 2 || cache.Err() != nil {
		t.Errorf("Stats of the second machine = %+v, %v; want 2 layers found", stats, cache.Err())
	}
	wantKinds("read the cache", "anonymous repository:cache/layers:pull")
}
