package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTLS checks that curl in a container trusts a server whose authority comes only from --ca-file.
func TestTLS(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	ca, cert := makeCA(t)
	writeFile(t, filepath.Join(dir, "ca.pem"), string(ca))
	server := startTLS(t, cert)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	address := "https://localhost:" + u.Port()

	load(t, p, dir, "trusting", "--ca-file", "ca.pem")
	fetch := []string{"run", "--network=host", "--rm", "trusting", "curl", "-sS", address}
	if r := do(t, p.podman(dir, fetch...)); r.stdout != "hello over TLS\n" {
		t.Errorf("%v\nwant hello over TLS", r)
	}

	// curl exits with status 60 if known CA certificates cannot authenticate the peer's certificate.
	load(t, p, dir, "doubting")
	fetch[3] = "doubting"
	if r := try(t, p.podman(dir, fetch...)); r.status() != 60 || !strings.Contains(r.stderr, "certificate") {
		t.Errorf("%v\nwant exit status 60 and an error about the certificate", r)
	}

	// All the profile's certificates are still in every place where programs look.
	own, err := os.ReadFile(lab.object + "/etc/ssl/certs/ca-bundle.crt")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"$SSL_CERT_FILE", "$NIX_SSL_CERT_FILE", "/etc/ssl/certs/ca-bundle.crt",
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		for _, tt := range []struct {
			image string
			extra string
		}{{"trusting", string(ca)}, {"doubting", ""}} {
			r := podmanRun(t, p, dir, tt.image, "sh", "-c", "cat "+place)
			rest, ok := strings.CutPrefix(r.stdout, string(own))
			if !ok || strings.TrimSpace(rest) != strings.TrimSpace(tt.extra) {
				t.Errorf("%s in image %q has %d bytes, ending in %q; want the profile's %d and then %q",
					place, tt.image, len(r.stdout), rest, len(own), tt.extra)
			}
		}
	}
}

// makeCA makes a certificate authority, and a certificate for localhost signed by it.
func makeCA(t *testing.T) (caPEM []byte, server tls.Certificate) {
	t.Helper()
	caPEM, _, server = makeCAs(t)
	return caPEM, server
}

// makeCAs makes an authority's certificate, an expired certificate of the same authority, and a certificate for localhost signed by it.
func makeCAs(t *testing.T) (caPEM, expiredPEM []byte, server tls.Certificate) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		if template.NotAfter.IsZero() {
			template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, serverKey := key(), key()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "export-profile test CA"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := sign(ca, ca, caKey, caKey)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := sign(leaf, ca, serverKey, caKey)
	old := *ca
	old.NotBefore, old.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	oldDER := sign(&old, &old, caKey, caKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: oldDER}),
		tls.Certificate{Certificate: [][]byte{der}, PrivateKey: serverKey}
}

// startTLS starts a web server with a certificate.
func startTLS(t *testing.T, cert tls.Certificate) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello over TLS\n")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a client hangs up as part of the test
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
