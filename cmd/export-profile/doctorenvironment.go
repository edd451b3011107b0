package main

import (
	"crypto/x509"
	"os"
	"slices"
)

// certificateFiles lists the files in which Go looks for certificates of authorities on Linux.
var certificateFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// variables lists variables that change what image does. Their values may be secret.
var variables = []string{
	"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "NIX_PROFILE", "NIX_STATE_HOME", "TMPDIR",
}

// maxCertificates limits a file of certificates. Those of all authorities have a quarter of a megabyte.
const maxCertificates = 16 << 20

// findEnvironment finds certificates and variables.
func (d *doctor) findEnvironment() {
	for _, name := range variables {
		if os.Getenv(name) != "" {
			d.Variables = append(d.Variables, name)
		}
	}
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		if d.Certificates = file; !hasCertificate(file) {
			d.problem(aboutRegistry, "unset it, or let it name a PEM file with the certificates of authorities", "SSL_CERT_FILE names %q, which has no certificate", file)
			d.Certificates = ""
		}
		return
	}
	if i := slices.IndexFunc(certificateFiles, hasCertificate); i >= 0 {
		d.Certificates = certificateFiles[i]
		return
	}
	if os.Getenv("SSL_CERT_DIR") != "" {
		return
	}
	hint := "install ca-certificates, or name a PEM file in SSL_CERT_FILE"
	if file := os.Getenv("NIX_SSL_CERT_FILE"); file != "" && hasCertificate(file) {
		hint = "name Nix's: export SSL_CERT_FILE=" + shellWord(file)
	}
	d.problem(aboutRegistry, hint, "this machine has no certificates of authorities, so docker:// and https:// fail")
}

// hasCertificate reports whether a file has a PEM certificate. It does not wait for a pipe.
func hasCertificate(name string) bool {
	b, err := readSmall(name, maxCertificates)
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(b)
}
