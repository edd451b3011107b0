package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// secureRegistry starts a registry with TLS and a login, which the returned person has.
// The flags make export-profile trust it; certs is a directory with its certificate for skopeo.
func secureRegistry(t *testing.T, p person, dir string) (address string, q person, flags []string, certs string) {
	t.Helper()
	address = startSecureRegistry(t, dir)
	if err := os.Link(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.crt")); err != nil { // the name that skopeo expects
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "auth.json"), loginFile(address, registryLogin))
	return address, p.with("REGISTRY_AUTH_FILE=" + dir + "/auth.json"), []string{"--registry-ca", dir + "/ca.crt"}, dir
}

// verifies checks that verify accepts an image and prints its digest.
func verifies(t *testing.T, p person, dir, digest, image string, flags ...string) {
	t.Helper()
	got := strings.Fields(p.export(t, dir, append([]string{"verify", image}, flags...)...))
	if !slices.Equal(got, []string{digest}) {
		t.Errorf("verify %s prints %q; want %s", image, got, digest)
	}
}

// TestRegistryBase puts a profile on a Debian image in a registry with TLS and logins, and pushes to that registry and another.
// It checks that the image is the same as with a base in a layout, that the base is fetched once, and that the image runs.
func TestRegistryBase(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	do(t, p.command(dir, "sh", "-c", debianRoot))
	want := p.export(t, dir, "image", "--profile", lab.profile, "--base", "oci:debian:12", "oci:over:v1")
	address, q, trust, certs := secureRegistry(t, p, p.scratch(t))
	for _, args := range [][]string{nil, {"--format", "v2s2"}} { // also with Docker's kind of manifest
		name := "base/debian" + strings.Join(args, "")
		do(t, q.command(dir, "skopeo", append([]string{"copy", "-q", "--dest-cert-dir", certs, "oci:debian:12", "docker://" + address + "/" + strings.ReplaceAll(name, "--", "-") + ":12"}, args...)...))
	}
	base := "docker://" + address + "/base/debian:12"
	image := func(dest string, args ...string) string {
		t.Helper()
		return q.export(t, dir, append(append([]string{"image", "--profile", lab.profile, "--base", base, dest}, trust...), args...)...)
	}

	forgetCache(t, p)
	if got := image("docker://" + address + "/team/over:v1"); got != want {
		t.Errorf("pushed to the base image's registry: %s; want %s", got, want)
	}
	verifies(t, q, dir, want, "docker://"+address+"/team/over:v1", trust...)
	v := startProxy(t, startRegistry(t, ""))
	if got := image("docker://"+v.address+"/team/over:v1", "--tls-verify=false"); got != want {
		t.Errorf("pushed to another registry: %s; want %s", got, want)
	}
	if got := checkPushed(t, v.address, "team/over", "v1"); got != want {
		t.Errorf("the other registry has %s; want %s", got, want)
	}
	if got := image("docker://"+v.address+"/team/nothing-kept:v1", "--tls-verify=false", "--no-cache"); got != want {
		t.Errorf("without a cache: %s; want %s", got, want)
	}
	for _, dest := range []string{"oci:again:v1", "oci-archive:again.tar"} {
		if got := image(dest); got != want {
			t.Errorf("%s is %s; want %s", dest, got, want)
		}
	}
	verifies(t, p, dir, want, "oci:again:v1")
	verifies(t, p, dir, want, "oci-archive:again.tar")
	verifies(t, p, dir, want, "docker-archive:again.tar")

	// The base image can also be named by digest.
	pinned := strings.TrimSpace(do(t, q.command(dir, "skopeo", "inspect", "--cert-dir", certs, "--format", "{{.Digest}}", base)).stdout)
	base = "docker://" + address + "/base/debian@" + pinned
	if got := image("oci:pinned:v1"); got != want {
		t.Errorf("by its digest: %s; want %s", got, want)
	}
	r := try(t, p.command(dir, lab.program, append([]string{"image", "--profile", lab.profile, "--base", base, "oci:none:v1"}, trust...)...))
	if r.status() != 1 || !strings.Contains(r.stderr, "podman login") {
		t.Errorf("%v\nwant a hint about logins", r)
	}
	base = "docker://" + address + "/base/debian-formatv2s2:12"
	docker := image("docker://" + address + "/team/docker:v1")
	verifies(t, q, dir, docker, "docker://"+address+"/team/docker:v1", trust...)
	if r := do(t, q.command(dir, lab.program, append([]string{"verify", base}, trust...)...)); !strings.HasPrefix(r.stdout, "sha256:") {
		t.Errorf("%v\nwant a digest", r)
	}

	name := v.address + "/team/over:v1"
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", name))
	if r := podmanRun(t, p, dir, name, "bash", "-c", "curl --version; cat /etc/debian_version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
}

// TestRegistryIndex checks an index of images from registries, layouts and archives: every tool picks its own platform's image.
func TestRegistryIndex(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	v := startProxy(t, startRegistry(t, ""))
	repository := "docker://" + v.address + "/team/multi"
	amd64 := p.export(t, dir, "image", "--profile", lab.profile, repository+":amd64")
	p.export(t, dir, "image", "--profile", lab.profile, "oci:amd64:v1")
	arm64 := p.export(t, dir, "image", "--profile", lab.objects["arm"], "oci-archive:arm.tar")
	want := p.export(t, dir, "index", "oci:multi:v1", "oci:amd64:v1", "oci-archive:arm.tar")

	v.mu.Lock()
	v.writes = nil
	v.mu.Unlock()
	before := v.bytes.Load()
	if got := p.export(t, dir, "index", "--tag", "latest", repository+":v1", repository+":amd64", "oci-archive:arm.tar"); got != want {
		t.Errorf("in a registry, the index is %s; want %s", got, want)
	}
	puts := 0
	for _, w := range v.writes {
		if strings.HasPrefix(w, "PUT") {
			puts++
		}
	}
	t.Logf("%d bytes on the wire for an index with a new image; %q", v.bytes.Load()-before, v.writes)
	if arm := imageOf(t, p, dir, "oci-archive:arm.tar"); puts != len(arm.Layers)+1+1+2 {
		t.Errorf("%q; want %d layers, a config and a manifest of the new image, and the index under two tags", v.writes, len(arm.Layers))
	}
	for _, tag := range []string{"v1", "latest"} {
		r := do(t, p.command(dir, "skopeo", "inspect", "--raw", "--tls-verify=false", repository+":"+tag))
		var index ispec.Index
		if err := json.Unmarshal([]byte(r.stdout), &index); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		if len(index.Manifests) != 2 || index.Manifests[0].Digest.String() != amd64 || index.Manifests[1].Digest.String() != arm64 {
			t.Errorf("%v\nwant %s and %s", r, amd64, arm64)
		}
	}
	both := want + "\n" + amd64 + "\n" + arm64 // the index and its images
	if got := p.export(t, dir, "verify", repository+":v1"); got != both {
		t.Errorf("verify prints %s; want %s", got, both)
	}

	// In another repository of the registry, its blobs are mounted.
	v.mu.Lock()
	v.writes = nil
	v.mu.Unlock()
	before = v.bytes.Load()
	if got := p.export(t, dir, "index", "docker://"+v.address+"/other/multi:v1", repository+":v1"); got != want {
		t.Errorf("in another repository, the index is %s; want %s", got, want)
	}
	if n := v.bytes.Load() - before; n > 256<<10 {
		t.Errorf("%d bytes on the wire for an index of images in the registry", n)
	}
	do(t, p.command(dir, "skopeo", "copy", "-q", "--all", "--src-tls-verify=false", "docker://"+v.address+"/other/multi:v1", "oci:copied:v1"))
	if got := p.export(t, dir, "index", "oci:copied:again", "oci:copied:v1"); got != want {
		t.Errorf("a copy of the index is %s; want %s", got, want)
	}

	name := v.address + "/other/multi:v1"
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", name))
	if r := podmanRun(t, p, dir, name, "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}

	// In an archive, it has its name.
	if got := p.export(t, dir, "index", "--tag", "multi:v1", "oci-archive:multi.tar", "oci:amd64:v1", repository+":v1"); got != want {
		t.Errorf("in an archive, the index is %s; want %s", got, want)
	}
	if got := p.export(t, dir, "verify", "oci-archive:multi.tar"); got != both {
		t.Errorf("verify prints %s; want %s", got, both)
	}
	do(t, p.podman(dir, "load", "-q", "-i", "multi.tar"))
	runsAs(t, p, dir, "docker.io/library/multi:v1")
	over := p.export(t, dir, "image", "--profile", lab.objects["arm"], "--base", repository+":v1", "oci:over:arm")
	verifies(t, p, dir, over, "oci:over:arm")
}

func imageOf(t *testing.T, p person, dir, image string) (m ispec.Manifest) {
	t.Helper()
	return decodeManifest(t, do(t, p.command(dir, "skopeo", "inspect", "--raw", image)))
}

// decodeManifest returns the manifest that a command has printed.
func decodeManifest(t *testing.T, r result) (m ispec.Manifest) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return m
}

// TestVerifyOthers checks that verify accepts images of other programs, in each form.
func TestVerifyOthers(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	do(t, p.command(dir, "sh", "-c", debianRoot))
	do(t, p.command(dir, "skopeo", "copy", "-q", "oci:debian:12", "oci-archive:skopeo-oci.tar:debian:12"))
	do(t, p.command(dir, "skopeo", "copy", "-q", "oci:debian:12", "docker-archive:skopeo-docker.tar:debian:12"))
	do(t, p.podman(dir, "load", "-q", "-i", "skopeo-docker.tar"))
	for _, format := range []string{"docker-archive", "oci-archive"} {
		do(t, p.podman(dir, "save", "-q", "--format", format, "-o", format+".tar", "docker.io/library/debian:12"))
	}
	for _, image := range []string{"oci:debian:12", "oci-archive:skopeo-oci.tar", "docker-archive:skopeo-docker.tar", "docker-archive:docker-archive.tar", "oci-archive:oci-archive.tar"} {
		if got := p.export(t, dir, "verify", image); !strings.HasPrefix(got, "sha256:") || strings.Contains(got, "\n") {
			t.Errorf("verify %s prints %q; want a digest", image, got)
		}
	}
	pipe := p.command(dir, lab.program, "verify", "docker-archive:-")
	if r := pipeInto(t, p.podman(dir, "save", "-q", "docker.io/library/debian:12"), pipe); !strings.HasPrefix(r.stdout, "sha256:") {
		t.Errorf("%v\nwant a digest", r)
	}
	wantNoLitter(t, p, dir, "root", "cache", "debian", "skopeo-oci.tar", "skopeo-docker.tar", "docker-archive.tar", "oci-archive.tar")
}
