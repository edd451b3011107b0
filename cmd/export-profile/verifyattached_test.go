package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestVerifyAttached checks that verify lists what is attached to an image in a registry and to its parts,
// and that a registry that does not list it changes nothing but a note.
func TestVerifyAttached(t *testing.T) {
	reg, address := newFakeRegistry(t)
	t.Setenv("HOME", t.TempDir())
	exec := func(args ...string) (out, stderr string, status int) {
		t.Helper()
		var o, e bytes.Buffer
		status = run(t.Context(), args, terminal{out: &o, err: &e})
		return o.String(), e.String(), status
	}
	at := "docker://" + address + "/team/hello:"
	for _, args := range [][]string{
		{"image", "--no-cache", "--from", storetest.File(t, "basic.nix-export"), "--sbom", "spdx", "--sbom", "cyclonedx", at + "amd64"},
		{"index", at + "v1", at + "amd64"},
	} {
		if _, stderr, status := exec(args...); status != 0 {
			t.Fatalf("%v exits with %d: %s", args, status, stderr)
		}
	}
	out, stderr, status := exec("verify", at+"v1")
	digests := strings.Fields(out)
	if status != 0 || len(digests) != 2 {
		t.Fatalf("verify exits with %d and prints %q: %s", status, out, stderr)
	}
	for _, want := range []string{
		"note: attached to " + digests[1] + `: SBOM "application/spdx+json" of `,
		"note: attached to " + digests[1] + `: SBOM "application/vnd.cyclonedx+json" of `,
	} {
		if strings.Count(stderr, want) != 1 {
			t.Errorf("verify says %s; want %q once", stderr, want)
		}
	}
	attached := func() (all []attachedResult, known bool) {
		t.Helper()
		out, stderr, status := exec("verify", "--json", at+"v1")
		var result map[string]json.RawMessage
		if err := json.Unmarshal([]byte(out), &result); err != nil || status != 0 {
			t.Fatalf("verify --json exits with %d and prints %q, %v: %s", status, out, err, stderr)
		}
		if result["attached"] == nil {
			return nil, false
		}
		if err := json.Unmarshal(result["attached"], &all); err != nil {
			t.Fatal(err)
		}
		return all, true
	}
	if all, _ := attached(); len(all) != 2 || all[0].Subject != digests[1] || all[0].Size == 0 || all[0].Annotations["org.opencontainers.image.created"] == "" {
		t.Errorf("verify --json lists %+v; want both SBOMs of %s", all, digests[1])
	}

	reg.mu.Lock()
	reg.fault = func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "/manifests/sha256-")
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	}
	reg.mu.Unlock()
	again, stderr, status := exec("verify", at+"v1")
	if want := "note: it is unknown what is attached to the image: list what is attached to "; status != 0 || again != out || !strings.Contains(stderr, want) {
		t.Errorf("verify exits with %d and prints %q: %s; want the same digests and %q", status, again, stderr, want)
	}
	if all, known := attached(); known {
		t.Errorf("verify --json lists %v; want no list if the registry refuses it", all)
	}
}
