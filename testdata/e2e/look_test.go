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

// TestClosureOfImage: a finished image answers as Nix does of the store that it was made from.
func TestClosureOfImage(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--profile", lab.profile, "oci:look:v1")
	want := fields(do(t, nix("nix", "path-info", "-rsS", lab.object)).stdout)
	for range 2 { // the second time from the cache
		got := fields(p.export(t, dir, "closure", "--bytes", "--from", "oci:look:v1") + "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("closure of the image (-nix +export-profile):\n%s", diff)
		}
	}
	to := lab.closure[0]
	fromStore := p.export(t, dir, "why", "--all", "--profile", lab.profile, to)
	if diff := cmp.Diff(fromStore, p.export(t, dir, "why", "--all", "--from", "oci:look:v1", to)); diff != "" {
		t.Errorf("why (-store +image):\n%s", diff)
	}
}

// TestDiff: the same lines as nix store diff-closures has, for pairs of closures.
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

// follow is the real place of a path in a root filesystem.
func follow(t *testing.T, root, name string) string {
	t.Helper()
	real, todo := "/", strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		next := path.Join(real, todo[0]) // never above the root
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

// sizesOf are the sizes of files, by their real places, of lines as du prints them.
// Through which links a file is first come to is up to the order in which directories are read.
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
		if fi.IsDir() { // du adds its own size
			size = "directory"
		}
		if had, ok := sizes[real]; ok {
			t.Errorf("%q is there twice, with %s and %s", real, had, size)
		}
		sizes[real] = size
	}
	return sizes
}

// TestLs: what du -hacL lists in the exported tree, where it runs in it.
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

// TestAttached: documents are found by the image in a real registry, and whoever wants the image does not notice.
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
			t.Errorf("%s: the subject is %v", d.ArtifactType, m.Subject)
		}
		attached := string(get("blobs/" + m.Layers[0].Digest.String()))
		if want := p.export(t, dir, "sbom", "--format", format, "--from", at) + "\n"; attached != want {
			t.Errorf("%s: what is attached is not what sbom says of the image (-sbom +attached):\n%s", format, cmp.Diff(want, attached))
		}
		if err := sbomtest.Validate(format, []byte(attached)); err != nil {
			t.Errorf("%s: what is attached: %v", d.ArtifactType, err)
		}
		if format == "spdx" {
			b, err := os.ReadFile(filepath.Join(dir, "hello.json"))
			if err != nil || string(b) != attached {
				t.Errorf("the file is not what is attached: %v", err)
			}
		}
	}
	if len(formats) > 0 {
		t.Errorf("not attached: %v", formats)
	}
	do(t, p.command(dir, "skopeo", "copy", "--src-tls-verify=false", at, "oci:copy:v1"))
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", strings.TrimPrefix(at, "docker://")))
	if got := p.export(t, dir, "diff", at, "oci:copy:v1"); !strings.Contains(got, "fetches 0 B") {
		t.Errorf("diff with the copy: %s", got)
	}
}
