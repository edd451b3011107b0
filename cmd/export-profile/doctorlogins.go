package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// findLogins lists the registries with a login, in the order in which image looks for one.
func (d *doctor) findLogins() {
	files, err := authFiles()
	if err != nil {
		d.problem(aboutRegistry, "unset REGISTRY_AUTH_FILE, or log in: podman login REGISTRY", "read logins: %v", err)
	}
	for _, file := range files {
		list, err := registry.ListLogins(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, fs.ErrPermission):
			d.problem(aboutRegistry, "name another file in REGISTRY_AUTH_FILE", "%v", err)
			continue
		case err != nil:
			d.problem(aboutRegistry, "move the file away and log in again: podman login REGISTRY", "%v", err)
			continue
		}
		d.addLogins(file, list)
	}
}

// addLogins adds the logins of a file: those in it, and those of its credential helpers.
func (d *doctor) addLogins(file string, list *registry.LoginList) {
	for _, name := range slices.Sorted(maps.Keys(list.Helpers)) {
		d.addHelper(foundLogin{name, file, list.Helpers[name]})
	}
	for _, name := range list.Registries {
		if !isPlain(name) {
			list.Damaged = append(list.Damaged, name)
			continue
		}
		d.Logins = append(d.Logins, foundLogin{Registry: name, File: file})
	}
	for _, name := range list.Damaged {
		again := "log in again: podman login REGISTRY"
		if isPlain(name) {
			again = "log in again: podman login " + shellWord(name)
		}
		d.problem(aboutRegistry, again, "read login for %q in %q: its entry is damaged", name, file)
	}
	if list.Store != "" {
		d.addHelper(foundLogin{"", file, list.Store})
	}
}

// addHelper adds a login of a credential helper, which must be in PATH.
func (d *doctor) addHelper(l foundLogin) {
	program := "docker-credential-" + l.Helper
	if !isPlain(l.Registry) || !isPlain(l.Helper) {
		d.problem(aboutRegistry, "correct the file", "%q names the credential helper %q for the registry %q", l.File, l.Helper, l.Registry)
		return
	}
	if l.Helper != filepath.Base(l.Helper) {
		d.problem(aboutRegistry, "name only the end of the program's name, as in osxkeychain", "%q names the credential helper %q, which is a path", l.File, l.Helper)
		return
	}
	if _, err := exec.LookPath(program); err != nil {
		d.problem(aboutRegistry, fmt.Sprintf("install it, or remove its name from %s and log in again", l.File),
			"%q names the credential helper %q, which is not in PATH", l.File, program)
		return
	}
	l.Helper = program
	d.Logins = append(d.Logins, l)
}

// certificateFiles are the places where Go looks for the certificates of authorities on Linux.
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
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return false
	}
	b, err := staging.ReadFile(real, maxCertificates)
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(b)
}

// place says where a login is.
func (l foundLogin) place() string {
	if l.Helper != "" {
		return l.Helper + ", as " + shortPath(l.File) + " says"
	}
	return shortPath(l.File)
}

// shortPath writes a path in the home directory as ~/…, and quotes an odd one.
func shortPath(name string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(home, "/")+"/"); ok {
			return "~/" + strings.Trim(shellWord(rest), "'")
		}
	}
	return shellWord(name)
}
