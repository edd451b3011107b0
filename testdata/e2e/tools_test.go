package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSkopeo checks what skopeo inspects and copies, for every compression.
func TestSkopeo(t *testing.T) {
	p := lab.user
	for _, c := range compressions {
		t.Run(c, func(t *testing.T) {
			dir := p.scratch(t)
			digest := p.export(t, dir, "image", "--profile", lab.profile, "--compression", c, "--label", "a=b", "oci:layout:v1")
			var got struct {
				Digest, Architecture, Os string
				Labels                   map[string]string
				Layers, Env              []string
			}
			r := do(t, p.command(dir, "skopeo", "inspect", "oci:layout:v1"))
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			if got.Digest != digest || got.Os != "linux" || got.Labels["a"] != "b" || len(got.Layers) == 0 ||
				!slices.ContainsFunc(got.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=/run/profile/bin:") }) {
				t.Errorf("%v\nwant digest %s, os linux, label a=b, layers and a PATH", r, digest)
			}

			copied := "docker-archive:archive.tar"
			if strings.HasPrefix(c, "zstd") { // Docker's format does not support it
				copied = "dir:copied"
			}
			do(t, p.command(dir, "skopeo", "copy", "-q", "oci:layout:v1", copied))
			r = do(t, p.command(dir, "skopeo", "inspect", copied))
			layers := len(got.Layers)
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
			if len(got.Layers) != layers {
				t.Errorf("%v\nwant %d layers", r, layers)
			}
		})
	}
}

// TestUmoci checks that umoci unpacks the tree that rootfs writes. Debian's umoci does not support zstd.
func TestUmoci(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	flags := []string{"--profile", lab.profile, "--user", "app:1000"}
	p.export(t, dir, slices.Concat([]string{"rootfs"}, flags, []string{"./root"})...)
	want := list(t, filepath.Join(dir, "root"))
	for _, c := range compressions {
		umoci, tag := "umoci", tagOf(c)
		p.export(t, dir, slices.Concat([]string{"image"}, flags, []string{"--compression", c, "oci:layout:" + tag})...)
		if strings.HasPrefix(c, "zstd") {
			r := try(t, p.command(dir, umoci, "unpack", "--rootless", "--image", "layout:"+tag, "old-"+tag))
			if r.status() == 0 || !strings.Contains(r.stderr, "not correct mediatype") {
				t.Errorf("%v\nwant an error about the media type", r)
			}
			umoci = goTool(t, "umoci")
		}
		do(t, p.command(dir, umoci, "unpack", "--rootless", "--image", "layout:"+tag, "bundle-"+tag))
		unpacked := filepath.Join(dir, "bundle-"+tag, "rootfs")
		if diff := cmp.Diff(want, list(t, unpacked)); diff != "" {
			t.Errorf("umoci unpack of %s (-rootfs +umoci):\n%s", c, diff)
		}
		checkTimes(t, unpacked)
	}
	r := do(t, p.command(dir, "umoci", "list", "--layout", "layout"))
	if tags := strings.Fields(r.stdout); !slices.Contains(tags, "gzip") || !slices.Contains(tags, "none") {
		t.Errorf("%v\nwant the tags gzip and none", r)
	}
	// umoci's garbage collector deletes nothing.
	before := names(t, filepath.Join(dir, "layout"))
	do(t, p.command(dir, "umoci", "gc", "--layout", "layout"))
	if diff := cmp.Diff(before, names(t, filepath.Join(dir, "layout"))); diff != "" {
		t.Errorf("umoci gc (-before +after):\n%s", diff)
	}
}

// TestBuildah checks that buildah can use an image as a base.
func TestBuildah(t *testing.T) {
	for _, c := range []string{"gzip", "zstd:chunked"} {
		t.Run(c, func(t *testing.T) { testBuildah(t, c) })
	}
}

func testBuildah(t *testing.T, compression string) {
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--profile", lab.profile, "--env", "GREETING=hello", "--compression", compression, "oci:layout:v1")
	container := strings.TrimSpace(do(t, p.command(dir, "buildah", "from", "oci:"+dir+"/layout:v1")).stdout)
	defer func() { do(t, p.command(dir, "buildah", "rm", container)) }()
	r := do(t, p.command(dir, "buildah", "inspect", "--format", "{{.OCIv1.Config.Env}}", container))
	if !strings.Contains(r.stdout, "GREETING=hello") {
		t.Errorf("%v\nwant GREETING=hello in it", r)
	}
	mount := do(t, p.command(dir, "buildah", "unshare", "sh", "-c", `readlink "$(buildah mount "$1")/run/profile"`, "sh", container))
	if got := strings.TrimSpace(mount.stdout); got != lab.object {
		t.Errorf("%v\nwant %q", mount, lab.object)
	}
	checkProgram(t, do(t, p.command(dir, "buildah", append([]string{"run", "--isolation", "chroot", container, "--"}, programOf(compression)...)...)), compression)
}

// TestTools checks that the common tools are installed, and prints what to install.
// Missing rarer tools fail the tests that use them.
func TestTools(t *testing.T) {
	for _, tool := range []string{"podman", "runc", "newuidmap", "skopeo", "umoci", "buildah", "nix-store", "patchelf", "unshare", "setpriv",
		"docker-registry", "containerd", "dockerd", "/usr/bin/docker", "mmdebstrap"} {
		r := try(t, lab.user.command("/", "sh", "-c", "command -v "+tool))
		if r.status() != 0 {
			t.Errorf("%s is missing: install it with apt-get", tool)
		}
	}
}
