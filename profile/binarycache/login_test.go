package binarycache

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestLoginError checks which answers ask for a login, and that the error knows whether one was sent.
func TestLoginError(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	other := serve(t, status(http.StatusUnauthorized))
	for _, test := range []struct {
		name  string
		file  string
		then  http.HandlerFunc
		login bool // one was sent
		want  bool
	}{
		{"private server", cacheInfoName, status(401), false, true},
		{"private bucket", cacheInfoName, status(403), false, true},
		{"wrong password", cacheInfoName, status(401), true, true},
		{"private narinfo", smallPath.Digest() + ".narinfo", status(401), false, true},
		{"private NAR", n.URL, status(401), true, true},
		{"missing narinfo in a bucket", smallPath.Digest() + ".narinfo", status(403), false, false},
		{"no cache", cacheInfoName, status(404), false, false},
		{"another host", n.URL, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) }, true, false},
	} {
		at := serve(t, &faulty{Handler: f, name: test.file, times: 9, then: test.then})
		if test.login {
			at = strings.Replace(at, "http://", "http://user:secret@", 1)
		}
		s, err := Open(t.Context(), at, quickOptions())
		if err == nil {
			_, err = readFile(t.Context(), s, smallPath)
		}
		var login *LoginError
		got := errors.As(err, &login)
		if err == nil || got != test.want || got && (login.Sent != test.login || login.Host != "127.0.0.1") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v is %+v; want a LoginError: %v, sent: %v", test.name, err, login, test.want, test.login)
		}
	}
}

// TestNotRetried checks that a failure which every attempt would meet is reported at once.
func TestNotRetried(t *testing.T) {
	plain := serve(t, make(files))
	secure := httptest.NewTLSServer(make(files))
	t.Cleanup(secure.Close)
	asked := 0
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; w.WriteHeader(http.StatusProxyAuthRequired) }))
	through := func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
	for _, test := range []struct {
		name, at, want string
		proxy          func(*http.Request) (*url.URL, error)
	}{
		{"HTTP instead of HTTPS", strings.Replace(plain, "http:", "https:", 1), "first record does not look like a TLS handshake", nil},
		{"HTTPS instead of HTTP", strings.Replace(secure.URL, "https:", "http:", 1), "status 400", nil},
		{"unknown authority", secure.URL, "certificate", nil},
		{"proxy that wants a login", "https://cache.invalid", "status 407 Proxy Authentication Required", through},
		{"proxy that wants a login, without TLS", "http://cache.invalid", "status 407 Proxy Authentication Required", through},
	} {
		o := quickOptions()
		o.Proxy = test.proxy
		retries := 0
		o.Retrying = func(error, time.Duration) { retries++ }
		_, err := Open(t.Context(), test.at, o)
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, fs.ErrNotExist) || retries != 0 {
			t.Errorf("%s: Open = %v after %d retries; want …%s… at once", test.name, err, retries, test.want)
		}
	}
	if asked != 2 {
		t.Errorf("the proxy got %d requests; want 2", asked)
	}
}
