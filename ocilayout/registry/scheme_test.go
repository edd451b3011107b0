package registry

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

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
