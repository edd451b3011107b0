package binarycache

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestRefusedTLS checks that a request is not repeated if the server refuses TLS.
func TestRefusedTLS(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"without a client certificate": {ClientAuth: tls.RequireAnyClientCert},
		"of this version":              {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = config
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		defer s.Close()
		req, err := http.NewRequest(http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Client().Transport.RoundTrip(req); err == nil || retryable(err) {
			t.Errorf("retryable(%v) = true for a server that refuses TLS %s; want false", err, name)
		}
	}
}
