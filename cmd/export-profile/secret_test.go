package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestNoSecret checks that the login for a registry, and the key of an attestation, is in no message, not even of --debug, in no blob of the image and its SBOM,
// and in no list of processes.
func TestNoSecret(t *testing.T) {
	const secret = "s3cr3t-w0rd"
	login := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	seen := filepath.Join(dir, "processes")
	script := fmt.Sprintf("#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c %s >>%s\n"+
		"echo '{\"Username\":\"me\",\"Secret\":\"'$(cat %s)'\"}'\n", "s3cr3t-w0r[d]", seen, filepath.Join(dir, "secret"))
	for name, content := range map[string]string{"docker-credential-fake": script, "secret": secret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, refused := range []bool{false, true} {
		for _, helper := range []bool{false, true} {
			reg, address := newFakeRegistry(t)
			var used atomic.Bool
			reg.fault = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.Header.Get("Authorization") != "Basic "+login:
					w.Header().Set("Www-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				case refused && r.Method == http.MethodPut:
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"no"}]}`)
				default:
					used.Store(true)
					return false
				}
				return true
			}
			auth := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, address, login)
			if helper {
				auth = fmt.Sprintf(`{"credHelpers":{%q:"fake"}}`, address)
			}
			if err := os.WriteFile(filepath.Join(dir, "auth.json"), []byte(auth), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(dir, "auth.json"))
			var out bytes.Buffer
			at := "docker://" + address + "/team/hello:v1"
			sbom, key := filepath.Join(t.TempDir(), "sbom.json"), keyFile(t)
			status := run(t.Context(), []string{"image", "--debug", "--no-cache", "--from", storetest.File(t, "basic.nix-export"), "--sbom", "spdx:" + sbom, "--attest", key, at},
				terminal{out: &out, err: &out})
			if (status != 0) != refused || !used.Load() {
				t.Errorf("image exits with %d, and the registry got the login: %v: %s", status, used.Load(), &out)
			}
			run(t.Context(), []string{"verify", "--debug", at}, terminal{out: &out, err: &out})
			b, _ := os.ReadFile(sbom)
			out.Write(b)
			for name, b := range reg.blobs {
				fmt.Fprintln(&out, name)
				out.Write(b)
				if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
					_, _ = io.Copy(&out, z)
				}
			}
			_, seed, _ := strings.Cut(testKey, ":")
			for _, word := range []string{secret, login, login[:12], seed[:40]} {
				if at := strings.Index(out.String(), word); at >= 0 {
					t.Errorf("refused %v, helper %v: the secret is in %q", refused, helper, out.String()[max(0, at-200):at+len(word)])
				}
			}
		}
	}
	b, err := os.ReadFile(seen)
	if err != nil || strings.Trim(string(b), "0\n") != "" || len(b) == 0 {
		t.Errorf("the helper saw the secret in command lines: %q, %v; want 0", b, err)
	}
}
