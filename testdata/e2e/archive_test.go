package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runsAs checks that podman has an image called name and can run it, and removes it.
func runsAs(t *testing.T, p person, dir, name string) {
	t.Helper()
	r := do(t, p.podman(dir, "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}}"))
	if !slices.Contains(strings.Fields(r.stdout), name) {
		t.Fatalf("%v\nwant %s", r, name)
	}
	if r := podmanRun(t, p, dir, name, "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
	do(t, p.podman(dir, "rmi", name))
}

// loaders returns commands that load an archive into podman's storage. transport is "oci-archive:" or "docker-archive:".
func loaders(p person, dir, transport, file, name string) map[string]*exec.Cmd {
	stdin := p.podman(dir, "load")
	if f, err := os.Open(filepath.Join(dir, file)); err == nil {
		stdin.Stdin = f
	}
	return map[string]*exec.Cmd{
		"podman load -i": p.podman(dir, "load", "-i", file),
		"podman load <":  stdin,
		"podman pull":    p.podman(dir, "pull", "-q", transport+file),
		"buildah pull":   p.command(dir, "buildah", "pull", "-q", transport+file),
		"skopeo copy":    p.command(dir, "skopeo", "copy", "-q", transport+file, "containers-storage:"+name),
	}
}

// TestArchiveLoaders checks that every loader gives an archive's image the name from --tag, and that it runs, for every compression.
func TestArchiveLoaders(t *testing.T) {
	p := lab.user
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		for _, c := range archiveCompressions(transport) {
			t.Run(transport+c, func(t *testing.T) {
				dir := p.scratch(t)
				digest := p.export(t, dir, "image", "--profile", lab.profile, "--compression", c, "--tag", "hello:v1", transport+"hello.tar")
				verifies(t, p, dir, digest, "oci-archive:hello.tar")
				verifies(t, p, dir, digest, "docker-archive:hello.tar:hello:v1")
				const name = "docker.io/library/hello:v1"
				for way, cmd := range loaders(p, dir, transport, "hello.tar", name) {
					if c != "gzip" && way != "podman load -i" {
						continue // the loaders share their decompression code
					}
					t.Run(way, func(t *testing.T) {
						do(t, cmd)
						runsAs(t, p, dir, name)
					})
				}
			})
		}
	}
}

// TestArchivePipe checks that an archive written to a pipe equals one in a file, and that podman load reads it.
func TestArchivePipe(t *testing.T) {
	p := lab.user
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		dir := p.scratch(t)
		args := []string{"image", "--profile", lab.profile, "--tag", "hello:v1"}
		digest := p.export(t, dir, append(args, transport+"hello.tar")...)
		streamed := func(to ...string) *exec.Cmd {
			return p.command(dir, lab.program, slices.Concat(args, to, []string{transport + "-"})...)
		}
		pipeInto(t, streamed(), p.podman(dir, "load"))
		runsAs(t, p, dir, "docker.io/library/hello:v1")

		pipeInto(t, streamed("--digest-file", "digest"), p.command(dir, "cmp", "-", "hello.tar"))
		if b, err := os.ReadFile(filepath.Join(dir, "digest")); err != nil || string(b) != digest {
			t.Errorf("%s-: --digest-file has %q, %v; want %s", transport, b, err, digest)
		}
		if got := names(t, dir); !cmp.Equal(got, []string{"digest", "hello.tar"}) {
			t.Errorf("%s-: the directory contains %q", transport, got)
		}
	}
}

// TestArchiveNames checks that an image with several names is loaded under all of them.
func TestArchiveNames(t *testing.T) {
	p := lab.user
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		dir := p.scratch(t)
		p.export(t, dir, "image", "--profile", lab.profile, "--tag", "hello:v1", "--tag", "registry.example.com/team/hello:v2", transport+"hello.tar")
		do(t, p.podman(dir, "load", "-i", "hello.tar"))
		runsAs(t, p, dir, "docker.io/library/hello:v1")
		runsAs(t, p, dir, "registry.example.com/team/hello:v2")
	}
}

// TestArchiveSkopeo checks that skopeo finds the printed digest and the name.
func TestArchiveSkopeo(t *testing.T) {
	p := lab.user
	for _, c := range compressions {
		t.Run(c, func(t *testing.T) {
			dir := p.scratch(t)
			args := []string{"image", "--profile", lab.profile, "--compression", c, "--tag", "hello:v1"}
			digest := p.export(t, dir, append(args, "oci-archive:oci.tar")...)
			layout := p.export(t, dir, append(args, "oci:layout:v1")...)
			if digest != layout {
				t.Errorf("the archive's digest is %s; want the layout's, %s", digest, layout)
			}
			inspect := func(what string) (got struct {
				Digest, Architecture, Os string
				Layers, Env              []string
			}) {
				r := do(t, p.command(dir, "skopeo", "inspect", what))
				if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
					t.Fatalf("%v: %v", r, err)
				}
				return got
			}
			want := inspect("oci:layout:v1")
			if diff := cmp.Diff(want, inspect("oci-archive:oci.tar")); diff != "" || want.Digest != digest {
				t.Errorf("skopeo inspect (-oci +oci-archive):\n%s", diff)
			}
			if !slices.Contains(archiveCompressions("docker-archive:"), c) {
				return
			}
			p.export(t, dir, append(args, "docker-archive:docker.tar")...)
			got := inspect("docker-archive:docker.tar") // its digests are those of uncompressed tars
			if len(got.Layers) != len(want.Layers) || !cmp.Equal(got.Env, want.Env) || got.Os != want.Os || got.Architecture != want.Architecture {
				t.Errorf("skopeo inspect docker-archive: %+v, want layers, env and platform of %+v", got, want)
			}
			if r := do(t, p.command(dir, "skopeo", "list-tags", "docker-archive:docker.tar")); !strings.Contains(r.stdout, `"docker.io/library/hello:v1"`) {
				t.Errorf("%v\nwant docker.io/library/hello:v1", r)
			}
		})
	}
}

// TestArchiveZstdNote checks the note that Docker before 23 cannot read zstd.
func TestArchiveZstdNote(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	r := do(t, p.command(dir, lab.program, "image", "--profile", lab.profile, "--compression", "zstd", "--tag", "hello:v1", "docker-archive:hello.tar"))
	if !strings.Contains(r.stderr, "Docker before 23") {
		t.Errorf("%v\nwant a note about zstd", r)
	}
}

// TestArchiveIsLayout checks that an unpacked archive equals a layout written directly, and that umoci unpacks the same files.
func TestArchiveIsLayout(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	args := []string{"image", "--profile", lab.profile, "--tag", "hello:v1"}
	p.export(t, dir, append(args, "oci-archive:hello.tar")...)
	p.export(t, dir, append(args, "oci:layout:v1")...)
	do(t, p.command(dir, "mkdir", "unpacked"))
	do(t, p.command(dir, "tar", "-xf", "hello.tar", "-C", "unpacked"))
	do(t, p.command(dir, "umoci", "unpack", "--rootless", "--image", "unpacked:v1", "bundle"))
	do(t, p.command(dir, "rm", "-f", "unpacked/manifest.json"))
	if diff := cmp.Diff(list(t, filepath.Join(dir, "layout")), list(t, filepath.Join(dir, "unpacked"))); diff != "" {
		t.Errorf("tar -xf (-layout +archive):\n%s", diff)
	}
	p.export(t, dir, "rootfs", "--profile", lab.profile, "./root")
	if diff := cmp.Diff(list(t, filepath.Join(dir, "root")), list(t, filepath.Join(dir, "bundle/rootfs"))); diff != "" {
		t.Errorf("umoci unpack (-rootfs +umoci):\n%s", diff)
	}
}

// TestTar checks that a flat tar contains the root filesystem, for tar and for podman import.
func TestTar(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	args := []string{"rootfs", "--profile", lab.profile}
	p.export(t, dir, append(args, "tar:root.tar")...)
	p.export(t, dir, "rootfs", "--profile", lab.profile, "./root")
	do(t, p.command(dir, "mkdir", "unpacked"))
	do(t, p.command(dir, "tar", "-xpf", "root.tar", "-C", "unpacked"))
	if diff := cmp.Diff(list(t, filepath.Join(dir, "root")), list(t, filepath.Join(dir, "unpacked"))); diff != "" {
		t.Errorf("tar -xf (-rootfs +tar):\n%s", diff)
	}
	checkTimes(t, filepath.Join(dir, "unpacked"))
	pipeInto(t, p.command(dir, lab.program, append(args, "tar:-")...), p.command(dir, "cmp", "-", "root.tar"))
	for _, c := range []string{"gzip", "zstd"} {
		p.export(t, dir, append(args, "--compression", c, "tar:root.tar."+c)...)
		unpack := p.command(dir, c, "-dc")
		f, err := os.Open(filepath.Join(dir, "root.tar."+c))
		if err != nil {
			t.Fatal(err)
		}
		unpack.Stdin = f
		pipeInto(t, unpack, p.command(dir, "cmp", "-", "root.tar"))
		f.Close()
	}

	for _, file := range []string{"root.tar", "root.tar.gzip"} {
		do(t, p.podman(dir, "import", "--change", "ENV PATH=/run/profile/bin", file, "imported:v1"))
		runsAs(t, p, dir, "localhost/imported:v1")
	}
}

// TestArchiveKill checks that a killed run leaves the old file intact, and that the next run cleans up after it.
func TestArchiveKill(t *testing.T) {
	p := lab.user
	for dest, command := range map[string]string{"oci-archive:out": "image", "tar:out": "rootfs"} {
		t.Run(dest, func(t *testing.T) {
			dir := p.scratch(t)
			file := filepath.Join(dir, "out")
			v := victim{person: p, dir: dir, args: []string{command, "--no-cache", "--profile", lab.profile, "--compression", "none", dest}}
			v.measure(t)
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, file, "old")
			for i := range 10 {
				cmd := v.make(t)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				wait := v.duration * time.Duration(i+1) / 11
				time.Sleep(wait)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if got, err := os.ReadFile(file); err != nil || string(got) != "old" && !bytes.Equal(got, want) {
					t.Fatalf("killed after %v: the file has %d bytes, %v; want \"old\" or %d", wait, len(got), err, len(want))
				}
			}
			v.finish(t)
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("after the kills the file has %d bytes, %v; want %d as before", len(got), err, len(want))
			}
			if got := names(t, dir); !cmp.Equal(got, []string{"out"}) {
				t.Errorf("after the kills the directory contains %q", got)
			}
		})
	}
}
