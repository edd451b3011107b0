package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestRefusedSBOM checks what becomes of an image whose SBOM a registry refuses:
// no tag leads to it, unless the SBOM has a file.
func TestRefusedSBOM(t *testing.T) {
	artifacts := func(status int) func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool { return refusingArtifacts(status) }
	}
	// subjects refuses documents about images that it does not have.
	subjects := func(reg *fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		first := artifacts(404)(reg)
		return func(w http.ResponseWriter, r *http.Request) bool {
			reg.mu.Lock()
			var there bool
			for at := range reg.blobs {
				there = there || strings.Contains(at, "/manifests/sha256:")
			}
			reg.mu.Unlock()
			return !there && first(w, r)
		}
	}
	tags := func(status int) func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
			return refusing("GET", "/manifests/sha256-", status)
		}
	}
	images := func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return refusing("PUT", "/manifests/", 415)
	}
	const refuses = "error: the registry refuses the SBOM, so no tag leads to the image: attach application/spdx+json to "
	const hinted = "hint: also write the SBOM to a file, and the registry may refuse it: --sbom spdx:hello.spdx.json"
	for _, tt := range []struct {
		name   string
		quirk  func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool
		file   bool
		status int
		want   []string
	}{
		{"400", artifacts(400), false, 1, []string{refuses, "status 400 Bad Request", hinted}},
		{"403", artifacts(403), false, 1, []string{refuses, "status 403 Forbidden", hinted}},
		{"415", artifacts(415), false, 1, []string{refuses, "status 415 Unsupported Media Type", hinted}},
		{"400 with a file", artifacts(400), true, 0, []string{"note: the SBOM is only in", "status 400 Bad Request"}},
		{"415 with a file", artifacts(415), true, 0, []string{"note: the SBOM is only in", "415"}},
		{"the image must be there first", subjects, false, 0, nil},
		{"a missing tag answers 401", tags(401), false, 0, nil},
		{"a missing tag answers 403", tags(403), false, 0, nil},
		{"images are refused, too", images, false, 1, []string{"error: push manifest sha256:", "status 415"}},
		{"images are refused, too, with a file", images, true, 1, []string{"error: push manifest sha256:", "status 415"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg, address := newFakeRegistry(t)
			reg.fault = tt.quirk(reg)
			t.Setenv("HOME", t.TempDir())
			file := filepath.Join(t.TempDir(), "hello.json")
			word := "spdx"
			if tt.file {
				word += ":" + file
			}
			var out, stderr bytes.Buffer
			status := run(t.Context(), []string{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export"),
				"--sbom", word, "docker://" + address + "/team/hello:v1"}, terminal{out: &out, err: &stderr})
			if status != tt.status {
				t.Errorf("image exits with %d; want %d: %s", status, tt.status, &stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("image says %s; want %q", &stderr, want)
				}
			}
			if there := reg.blobs["team/hello/manifests/v1"] != nil; there != (status == 0) {
				t.Errorf("after exit status %d, a tag leads to the image: %v", status, there)
			}
			if _, err := os.Stat(file); (err == nil) != (tt.file && status == 0) {
				t.Errorf("after exit status %d, the file: %v", status, err)
			}
		})
	}
}

// refusingArtifacts answers each manifest with a subject with a status.
func refusingArtifacts(status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		b := new(bytes.Buffer)
		_, _ = b.ReadFrom(r.Body)
		r.Body = http.NoBody
		if bytes.Contains(b.Bytes(), []byte(`"subject"`)) {
			w.WriteHeader(status)
			return true
		}
		r.Body = readCloser{b}
		return false
	}
}

// readCloser adds a Close to a buffer.
type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }
