package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

// TestClosureOfImage checks that closure and why give the same answers for an image as Nix for its store.
func TestClosureOfImage(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--profile", lab.profile, "oci:image:v1")
	want := fields(do(t, nix("nix", "path-info", "-rsS", lab.object)).stdout)
	for range 2 { // the second run uses the cache
		got := fields(p.export(t, dir, "closure", "--bytes", "--from", "oci:image:v1") + "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("closure of the image (-nix +export-profile):\n%s", diff)
		}
	}
	to := lab.closure[0]
	fromStore := p.export(t, dir, "why", "--all", "--profile", lab.profile, to)
	if diff := cmp.Diff(fromStore, p.export(t, dir, "why", "--all", "--from", "oci:image:v1", to)); diff != "" {
		t.Errorf("why (-store +image):\n%s", diff)
	}
}

// TestDiff checks that diff prints the same lines as nix store diff-closures.
func TestDiff(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	all := append([]string{lab.object, lab.objects["odd"]}, lab.closure[:3]...)
	for _, a := range all {
		for _, b := range all {
			want := strings.TrimSpace(colours.ReplaceAllString(
				do(t, exec.Command("nix", "--extra-experimental-features", "nix-command", "store", "diff-closures", a, b)).stdout, ""))
			got, _, _ := strings.Cut("\n"+p.export(t, dir, "diff", a, b), "\nstore paths: ")
			if diff := cmp.Diff(want, strings.TrimSpace(got)); diff != "" {
				t.Errorf("diff %s %s (-nix +export-profile):\n%s", a, b, diff)
			}
		}
	}
}

// follow resolves the links in a path of a root filesystem.
func follow(t *testing.T, root, name string) string {
	t.Helper()
	real, todo := "/", strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		next := path.Join(real, todo[0]) // cannot leave the root
		todo = todo[1:]
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			real = next
			continue
		}
		if links++; links > 40 {
			t.Fatalf("%q has too many links", name)
		}
		if path.IsAbs(target) {
			real = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return real
}

// sizesOf parses the output of du into the sizes of files by resolved path.
// du may reach a file through any of several links, depending on the order of directories.
func sizesOf(t *testing.T, root, text string) map[string]string {
	t.Helper()
	sizes := make(map[string]string)
	for line := range strings.Lines(text) {
		size, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if name == "total" {
			continue
		}
		real := follow(t, root, name)
		fi, err := os.Lstat(filepath.Join(root, real))
		if err != nil {
			t.Fatal(err)
		}
		if fi.IsDir() { // du includes the directory's own size
			size = "directory"
		}
		if had, ok := sizes[real]; ok {
			t.Errorf("%q occurs twice, with sizes %s and %s", real, had, size)
		}
		sizes[real] = size
	}
	return sizes
}

// TestLs checks that ls prints the same sizes as du -hacL in the exported tree.
func TestLs(t *testing.T) {
	p := lab.root
	dir := p.scratch(t)
	p.export(t, dir, "rootfs", "--profile", lab.profile, "root")
	p.export(t, dir, "image", "--profile", lab.profile, "oci:image:v1")
	root := filepath.Join(dir, "root")
	for _, tt := range []struct{ du, ls []string }{
		{[]string{"-B1"}, []string{"--bytes"}},
		{[]string{"-h"}, nil},
	} {
		args := append([]string{root, "/run/profile/bin/du", "-acL", "--apparent-size"}, tt.du...)
		r := try(t, exec.Command("chroot", append(args, "/")...))
		want := sizesOf(t, root, r.stdout)
		if len(want) < 100 {
			t.Fatalf("du: %v", r)
		}
		for _, from := range [][]string{{"--profile", lab.profile}, {"--from", "oci:image:v1"}} {
			got := sizesOf(t, root, p.export(t, dir, append(append([]string{"ls"}, tt.ls...), from...)...)+"\n")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ls %q %q (-du +export-profile):\n%s", tt.ls, from, diff)
			}
		}
	}
}

// TestAttached checks that attached documents are found through the image in a real registry, and that pulls ignore them.
func TestAttached(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	address := startRegistry(t, "")
	at := "docker://" + address + "/team/hello:v1"
	digest := p.export(t, dir, "image", "--profile", lab.profile, "--sbom", "spdx:hello.json", "--sbom", "cyclonedx", at)
	if got := checkPushed(t, address, "team/hello", "v1"); got != digest {
		t.Errorf("the image is %s; want %s", got, digest)
	}
	get := func(path string) []byte {
		t.Helper()
		return registryCall(t, http.MethodGet, address, "team/hello/"+path, nil)
	}
	var index ispec.Index
	if err := json.Unmarshal(get("manifests/"+strings.Replace(digest, ":", "-", 1)), &index); err != nil {
		t.Fatal(err)
	}
	formats := map[string]string{"application/spdx+json": "spdx", "application/vnd.cyclonedx+json": "cyclonedx"}
	for _, d := range index.Manifests {
		var m ispec.Manifest
		if err := json.Unmarshal(get("manifests/"+d.Digest.String()), &m); err != nil {
			t.Fatal(err)
		}
		format := formats[d.ArtifactType]
		delete(formats, d.ArtifactType)
		if m.Subject == nil || m.Subject.Digest.String() != digest {
			t.Errorf("%s: got subject %v; want the image", d.ArtifactType, m.Subject)
		}
		attached := string(get("blobs/" + m.Layers[0].Digest.String()))
		if want := p.export(t, dir, "sbom", "--format", format, "--from", at) + "\n"; attached != want {
			t.Errorf("%s: the attached document differs from that of sbom (-sbom +attached):\n%s", format, cmp.Diff(want, attached))
		}
		if err := sbomtest.Validate(format, []byte(attached)); err != nil {
			t.Errorf("%s: attached document: %v", d.ArtifactType, err)
		}
		if format == "spdx" {
			b, err := os.ReadFile(filepath.Join(dir, "hello.json"))
			if err != nil || string(b) != attached {
				t.Errorf("the file differs from the attached document: %v", err)
			}
		}
	}
	if len(formats) > 0 {
		t.Errorf("formats that were not attached: %v", formats)
	}
	do(t, p.command(dir, "skopeo", "copy", "--src-tls-verify=false", at, "oci:copy:v1"))
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", strings.TrimPrefix(at, "docker://")))
	if got := p.export(t, dir, "diff", at, "oci:copy:v1"); !strings.Contains(got, "fetches 0 B") {
		t.Errorf("diff with the copy: %s; want no difference", got)
	}
}
