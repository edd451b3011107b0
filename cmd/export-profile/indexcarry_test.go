package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/attestation"
	"github.com/export-profile/export-profile/profile/storetest"
)

// carryTest runs commands that join images for two platforms.
type carryTest struct {
	*testing.T
	from, address string
	reg           *fakeRegistry
}

func newCarryTest(t *testing.T) *carryTest {
	reg, address := newFakeRegistry(t)
	from := storetest.File(t, "basic.nix-export")
	t.Setenv("HOME", t.TempDir())
	t.Chdir(t.TempDir())
	return &carryTest{t, from, address, reg}
}

// exec runs a command that must succeed. $R stands for the registry.
func (t *carryTest) exec(line string) (out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	args := strings.Fields(strings.ReplaceAll(line, "$R", "docker://"+t.address))
	if status := run(t.Context(), args, terminal{out: &o, err: &e}); status != 0 {
		t.Fatalf("%s exits with %d: %s", line, status, &e)
	}
	return strings.TrimSpace(o.String()), e.String()
}

// image makes an image with SBOMs for a platform and returns its digest.
func (t *carryTest) image(arch, flags, dest string) string {
	t.Helper()
	digest, _ := t.exec("image --no-cache --from " + t.from + " --platform linux/" + arch + " " +
		"--profile fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0 " + flags + " " + dest)
	return digest
}

// statement writes a signed statement about a digest, as one line.
func (t *carryTest) statement(digest string) string {
	t.Helper()
	key, err := attestation.ParseSecretKey(fmt.Appendf(nil, "hello-1:%s",
		base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Sign(fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":%q}}],`+
		`"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}`, strings.TrimPrefix(digest, "sha256:")))
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func (t *carryTest) write(name string, content ...string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(strings.Join(content, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (t *carryTest) read(name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// attached lists the types of what verify finds attached to a digest, sorted by the artifacts' digests.
func (t *carryTest) attached(image, digest string) (types []string) {
	t.Helper()
	out, _ := t.exec("verify --json " + image)
	var result struct{ Attached []attachedResult }
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatal(err)
	}
	for _, a := range result.Attached {
		if a.Problem != "" {
			t.Errorf("%s of %s: %s", a.Digest, a.Subject, a.Problem)
		}
		if a.Subject == digest {
			types = append(types, a.ArtifactType)
		}
	}
	return types
}

func wantContains(t testing.TB, what, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%s is %s; want %q in it", what, text, want)
		}
	}
}

// TestIndexCarries checks that SBOMs and statements of the parts come along: from layouts to a registry, from there to another
// repository, to a layout and to an archive. Files about other images stay. The bytes stay the same all the way.
func TestIndexCarries(tt *testing.T) {
	t := newCarryTest(tt)
	amd, arm := t.image("amd64", "--sbom spdx --sbom cyclonedx", "oci:hello:amd64"), t.image("arm64", "--sbom spdx", "oci:arm")
	spdx, cdx, armSPDX := t.read("hello-amd64.spdx.json"), t.read("hello-amd64.cdx.json"), t.read("arm.spdx.json")
	forAMD, forARM := t.statement(amd), t.statement(arm)
	t.write("hello-amd64.intoto.jsonl", forAMD, "\n", t.statement("sha256:"+strings.Repeat("00", 32)), "no bundle\n")
	t.write("arm.intoto.jsonl", forARM)
	t.write("arm.cdx.json", cdx)

	out, stderr := t.exec("index --json $R/team/hello:v1 oci:hello oci:arm")
	wantContains(t, "standard error", messages(t, stderr), `"arm.cdx.json" is about another image, and does not come along`,
		`"hello-amd64.intoto.jsonl": a line is no Sigstore bundle`, "note: 5 documents of the images came along")
	if n := strings.Count(out, `"artifactType"`); n != 5 {
		t.Errorf("index --json lists %d documents: %s; want 5", n, out)
	}
	_, stderr = t.exec("verify $R/team/hello:v1")
	wantContains(t, "standard error", stderr, "note: attached to "+amd+": attestation ", `which names key "hello-1:`, "is not verified")
	for _, image := range []string{"$R/team/hello:v1", "$R/other/hello:v2"} {
		if n, m := len(t.attached(image, amd)), len(t.attached(image, arm)); n != 3 || m != 2 {
			t.Errorf("%d and %d artifacts are attached to the parts of %s; want 3 and 2", n, m, image)
		}
		if image == "$R/team/hello:v1" {
			t.exec("index $R/other/hello:v2 $R/team/hello:v1")
		}
	}

	// Made again by image, an SBOM is the same artifact.
	before := t.reg.changes()
	t.image("arm64", "--sbom spdx", "$R/other/hello:arm")
	if n := len(t.attached("$R/other/hello:v2", arm)); n != 2 {
		t.Errorf("%d artifacts are attached to a part after %d changes; want 2", n, t.reg.changes()-before)
	}

	for _, step := range []struct{ dest, from, base string }{
		{"oci:both:v2", "$R/other/hello:v2", "both-v2"},
		{"oci-archive:both.tar", "oci:both:v2", "both.tar"},
		{"oci:last", "oci-archive:both.tar", "last"},
		{"oci:last:v3", "oci:hello:amd64 oci:arm", "last-v3"},
	} {
		out, _ := t.exec("index --json " + step.dest + " " + step.from)
		wantContains(t, "the result", out, `"file": "`+step.base+`-linux-amd64.spdx.json"`)
		for file, want := range map[string]string{
			"-linux-amd64.spdx.json": spdx, "-linux-amd64.cdx.json": cdx, "-linux-arm64.spdx.json": armSPDX, ".intoto.jsonl": forAMD + forARM,
		} {
			if got := t.read(step.base + file); got != want {
				t.Errorf("after index %s %s, %s%s is %.300q; want %.300q", step.dest, step.from, step.base, file, got, want)
			}
		}
		if _, err := os.Stat(step.base + "-linux-arm64.cdx.json"); err == nil {
			t.Errorf("after index %s %s, there is an SBOM of another image", step.dest, step.from)
		}
	}
	if left, _ := filepath.Glob(".*"); len(left) > 0 {
		t.Errorf("the runs left %q", left)
	}

	// A statement about an index is also one about the same index elsewhere, but not about another one.
	both, _ := t.exec("index oci:both:v3 oci:both:v2")
	t.write("both-v3.intoto.jsonl", t.read("both-v3.intoto.jsonl"), t.statement(both))
	for _, from := range []string{"oci:both:v3", "$R/index/same:v1"} {
		to := map[string]string{"oci:both:v3": "$R/index/same:v1", "$R/index/same:v1": "$R/index/again:v1"}[from]
		t.exec("index " + to + " " + from)
		if types := t.attached(to, both); len(types) != 1 || types[0] != attestation.MediaType {
			t.Errorf("attached to the index at %s are %q; want its statement", to, types)
		}
	}
	other, _ := t.exec("index --annotation a=b $R/index/other:v1 oci:both:v3")
	if types := t.attached("$R/index/other:v1", other); len(types) != 0 || other == both {
		t.Errorf("attached to another index are %q; want nothing", types)
	}

	_, stderr = t.exec("index --digest-file digest oci-archive:- oci:both:v2")
	wantContains(t, "standard error", stderr, "does not come along: the image goes to standard output")
}

// changes counts the requests that changed the registry.
func (s *fakeRegistry) changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// TestIndexCarryFails checks registries that refuse documents: a note says that they stay. A run that is cancelled
// while it attaches something leaves the tag where it was.
func TestIndexCarryFails(tt *testing.T) {
	t := newCarryTest(tt)
	t.image("amd64", "--sbom spdx", "$R/team/hello:amd64")
	t.image("amd64", "--sbom spdx", "oci:hello")
	old := t.image("arm64", "", "$R/other/hello:v1")
	fault := func(f func(w http.ResponseWriter, r *http.Request) bool) {
		t.reg.mu.Lock()
		defer t.reg.mu.Unlock()
		t.reg.fault = f
	}
	artifacts := func(do func(w http.ResponseWriter)) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			b := new(bytes.Buffer)
			_, _ = b.ReadFrom(r.Body)
			r.Body = readCloser{b}
			if bytes.Contains(b.Bytes(), []byte(`"subject"`)) {
				do(w)
				return true
			}
			return false
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	fault(artifacts(func(w http.ResponseWriter) { cancel(); w.WriteHeader(http.StatusServiceUnavailable) }))
	var o, e bytes.Buffer
	args := []string{"index", "docker://" + t.address + "/other/hello:v1", "docker://" + t.address + "/team/hello:amd64"}
	if status := run(ctx, args, terminal{out: &o, err: &e}); status == 0 {
		t.Errorf("index exits with 0 after it was cancelled: %s", &e)
	}
	fault(nil)
	if now, _ := t.exec("verify $R/other/hello:v1"); now != old {
		t.Errorf("after the failure, the tag leads to %s; want %s", now, old)
	}

	fault(artifacts(func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnsupportedMediaType) }))
	for from, want := range map[string]string{"$R/team/hello:amd64": " stays in " + t.address + "/team/hello: attach application/spdx+json to ", "oci:hello": `the document is only in "hello.spdx.json": attach `} {
		_, stderr := t.exec("index $R/other/hello:v2 " + from)
		wantContains(t, "standard error", stderr, want, "status 415")
	}
	fault(func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.Contains(r.URL.Path, "/team/hello/referrers/") || strings.Contains(r.URL.Path, "/team/hello/manifests/sha256-")
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	})
	_, stderr := t.exec("index $R/other/hello:v2 $R/team/hello:amd64")
	wantContains(t, "standard error", stderr, "what is attached to ", "does not come along: list what is attached to")
}
