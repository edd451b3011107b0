package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile/storetest"
)

// refusing answers requests of a method whose path contains a word with an error.
func refusing(method, word string, status int, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.Contains(r.URL.Path, word) {
			return false
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"errors":[{"code":"UNKNOWN","message":"said by the fake"}]}`)
		return true
	}
}

// TestRegistryHints checks what a push that a registry refuses tells to do, and that no tag is set.
func TestRegistryHints(t *testing.T) {
	const basic, challenge = "WWW-Authenticate", `Basic realm="x"`
	for _, tt := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		login bool
		flags string
		want  string // the hint, with REGISTRY and FILE
	}{
		{"401 without a login", refusing("POST", "", 401, basic, challenge), false, "",
			"the file in REGISTRY_AUTH_FILE, \"FILE\", has no login for REGISTRY; log in: podman login --authfile \"$REGISTRY_AUTH_FILE\" REGISTRY"},
		{"401", refusing("POST", "", 401, basic, challenge), true, "",
			"the login for REGISTRY in \"FILE\" is refused; log in again: podman login --authfile \"$REGISTRY_AUTH_FILE\" REGISTRY"},
		{"403", func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("Authorization") != "" && refusing("POST", "", 403)(w, r) || r.Header.Get("Authorization") == "" && refusing("POST", "", 401, basic, challenge)(w, r)
		}, true, "", "the login for REGISTRY in \"FILE\" has no right to do this in team/hello; get it, or log in as another user: podman login"},
		{"404", refusing("POST", "", 404), false, "", "make the repository team/hello, or the project above it, in REGISTRY first"},
		{"405", refusing("POST", "", 405), false, "", "REGISTRY may be a mirror or a proxy, or team/hello read-only: push to the registry behind it"},
		{"413 for a blob", refusing("PUT", "/blobs/", 413, "Server", "nginx/1.18.0"), false, "",
			`"nginx/1.18.0", which answers for the registry, takes less than `},
		{"413 for a blob, what to do", refusing("PUT", "/blobs/", 413, "Server", "nginx/1.18.0"), false, "",
			"raise client_max_body_size there, or make smaller layers: --layers per-path"},
		{"413 for a manifest", refusing("PUT", "/manifests/", 413), false, "", "the registry, or a proxy before it, takes less than "},
		{"415", refusing("PUT", "/manifests/", 415), false, "--compression zstd",
			"the registry may refuse layers of type application/vnd.oci.image.layer.v1.tar+zstd: --compression gzip makes others"},
		{"415 for gzip", refusing("PUT", "/manifests/", 415), false, "--compression gzip",
			"the registry may refuse the type application/vnd.oci.image.manifest.v1+json: write a layout, oci:DIR:TAG, and convert it: skopeo copy --format v2s2 oci:DIR:TAG docker://REGISTRY/team/hello:TAG"},
		{"400 for zstd", refusing("PUT", "/manifests/", 400), false, "--compression zstd", "--compression gzip makes others"},
		{"429", refusing("POST", "", 429, "Retry-After", "21600"), false, "",
			"REGISTRY limits requests: run it again in 6h0m0s, or log in for a higher limit: podman login"},
		{"429 with a login", func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("Authorization") != "" && refusing("POST", "", 429, "Retry-After", time.Now().Add(6*time.Hour).UTC().Format(http.TimeFormat))(w, r) ||
				r.Header.Get("Authorization") == "" && refusing("POST", "", 401, basic, challenge)(w, r)
		}, true, "", "REGISTRY limits requests: run it again in 6h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg, address := newFakeRegistry(t)
			reg.fault = tt.fault
			file := filepath.Join(t.TempDir(), "auth.json")
			content := `{}`
			if tt.login {
				content = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, address, base64.StdEncoding.EncodeToString([]byte("me:secret")))
			}
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("REGISTRY_AUTH_FILE", file)
			args := append([]string{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export")}, strings.Fields(tt.flags)...)
			var out, stderr bytes.Buffer
			status := run(t.Context(), append(args, "docker://"+address+"/team/hello:v1"), terminal{out: &out, err: &stderr})
			want := strings.NewReplacer("REGISTRY_AUTH_FILE", "REGISTRY_AUTH_FILE", "REGISTRY", address, "FILE", file).Replace(tt.want)
			_, got, _ := strings.Cut(stderr.String(), "export-profile: hint: ")
			if status != 1 || !strings.Contains(got, want) {
				t.Errorf("image exits with %d and the hint %q; want 1 and %q: %s", status, got, want, &stderr)
			}
			if strings.Contains(stderr.String(), "secret") || strings.Contains(stderr.String(), base64.StdEncoding.EncodeToString([]byte("me:secret"))) {
				t.Errorf("the secret is in %s", &stderr)
			}
			if reg.blobs["team/hello/manifests/v1"] != nil {
				t.Error("a tag leads to the image")
			}
		})
	}
}

// TestRegistryHintsOfAWS checks that hints for a registry of AWS name the commands that it needs.
func TestRegistryHintsOfAWS(t *testing.T) {
	t.Setenv("REGISTRY_AUTH_FILE", "")
	const host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	for _, tt := range []struct {
		status int
		want   string
	}{
		{401, "there is no login for " + host + "; log in with podman or docker: aws ecr get-login-password --region eu-west-1 | podman login --username AWS --password-stdin " + host},
		{404, "make the repository first: aws ecr create-repository --region eu-west-1 --repository-name team/hello"},
	} {
		if got := hintRegistry(&registry.Error{Status: tt.status, Push: true, Registry: host, Repository: "team/hello"}); got != tt.want {
			t.Errorf("hintRegistry of status %d = %q; want %q", tt.status, got, tt.want)
		}
	}
	for host, want := range map[string]string{"1.dkr.ecr.cn-north-1.amazonaws.com.cn": "cn-north-1", "ghcr.io": "", "x.dkr.ecr.y.example.com": ""} {
		if got, ok := ecrRegion(host); ok != (want != "") || ok && got != want {
			t.Errorf("ecrRegion(%q) = %q, %v; want %q", host, got, ok, want)
		}
	}
}

// TestReachHints checks the hints about servers that cannot be reached, through the errors that name them.
func TestReachHints(t *testing.T) {
	for want, cause := range map[string]error{
		"nothing listens there: check the name and the port, and that the server runs":                           &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"check the name of the server; if this machine needs a proxy, HTTPS_PROXY names it":                      &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.example.com", IsNotFound: true}},
		"name the file of the certificate's authority with --registry-ca, or accept any with --tls-verify=false": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
	} {
		if got := hint(&registry.Error{Do: "reach registry registry.example.com", Tries: 3, Err: &url.Error{Op: "Get", Err: cause}}); got != want {
			t.Errorf("the hint about %v is %q; want %q", cause, got, want)
		}
	}
}
