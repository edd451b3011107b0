package registry

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRedirect checks that a registry cannot redirect from HTTPS to plain HTTP, unless Insecure is set.
func TestRedirect(t *testing.T) {
	plain := newFake(t)
	img := image(t, nil, "none", part("a", 1, 1<<10))
	mustPush(t, client(t, Options{}), plain.at("app:v1"), nil, img)

	front := newFake(t)
	front.Server = httptest.NewUnstartedServer(front)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	front.fault = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, plain.URL+r.URL.String(), http.StatusTemporaryRedirect)
		return true
	}
	for _, tt := range []struct {
		name string
		o    Options
		ok   bool
	}{
		{"verified", Options{CA: ca}, false},
		{"insecure", Options{Insecure: true}, true},
	} {
		plain.forget()
		_, err := readImage(t, client(t, tt.o), front.at("app:v1"))
		if (err == nil) != tt.ok {
			t.Errorf("%s: Find: %v; want success: %v", tt.name, err, tt.ok)
		}
		if n := plain.count(""); (n > 0) != tt.ok {
			t.Errorf("%s: the plain registry got %d requests; want some: %v", tt.name, n, tt.ok)
		}
		if !tt.ok && err != nil && (!strings.Contains(err.Error(), "redirects from HTTPS to plain HTTP") || strings.Contains(err.Error(), "tries")) {
			t.Errorf("%s: Find: %v; want the reason, and no retries", tt.name, err)
		}
	}
}
