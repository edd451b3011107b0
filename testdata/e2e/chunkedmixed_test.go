package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPodmanChunkedMixed checks that podman 5 has the right files of images in which only some layers have chunks:
// an image on layers kept from a previous one without chunks, and one on a base image that has them.
func TestPodmanChunkedMixed(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	v := startProxy(t, startRegistry(t, ""))
	at := "docker://" + v.address + "/"
	chunks := func(repository, tag string) (with, without int) {
		for _, l := range manifestOf(t, v.address, repository, tag).Layers {
			if l.Annotations["io.github.containers.zstd-chunked.manifest-checksum"] != "" {
				with++
			} else {
				without++
			}
		}
		return with, without
	}
	image := []string{"image", "--compression", "zstd:chunked", "--profile", revised(t, "libssl3")}
	p.export(t, dir, "image", "--profile", lab.profile, "--compression", "zstd", at+"mixed/curl:v1")
	r := do(t, p.command(dir, lab.program, append(image, "--previous", at+"mixed/curl:v1", at+"mixed/curl:v2")...))
	with, without := chunks("mixed/curl", "v2")
	if !strings.Contains(r.stderr, "of the previous image without chunks: leave out --previous once") || with == 0 || without == 0 {
		t.Errorf("%v\n%d layers have chunks, and %d have none; want some of both and a note", r, with, without)
	}
	p.export(t, dir, "image", "--profile", lab.profile, "--compression", "zstd:chunked", at+"base/curl:v1")
	p.export(t, dir, append(image, "--base", at+"base/curl:v1", "--compression", "zstd", at+"base/curl:v2")...)
	if with, without := chunks("base/curl", "v2"); with == 0 || without == 0 {
		t.Errorf("on a base image with chunks, %d layers have chunks, and %d have none; want some of both", with, without)
	}
	for _, tag := range []string{"v1", "v2"} {
		for _, repository := range []string{"mixed/curl", "base/curl"} {
			if out := do(t, p.command(dir, lab.program, "verify", at+repository+":"+tag)).stdout; !strings.HasPrefix(out, "sha256:") {
				t.Errorf("verify %s:%s: %s", repository, tag, out)
			}
		}
	}

	m := startNodes(t)
	for _, repository := range []string{"mixed/curl", "base/curl"} {
		parts, whole := newNode(t, m, true), newNode(t, m, false)
		for _, tag := range []string{"v1", "v2"} {
			name := v.address + "/" + repository + ":" + tag
			got, log := parts.pull(t, v, repository, tag)
			with, without := chunks(repository, tag)
			t.Logf("%s:%s: %v; %d layers in parts of %d with chunks and %d without", repository, tag, got, partialLayers(log), with, without)
			whole.pull(t, v, repository, tag)
			parts.runs(t, name)
			if diff := cmp.Diff(whole.tree(t, name), parts.tree(t, name)); diff != "" {
				t.Errorf("%s (-pulled whole +pulled in parts):\n%s", name, diff)
			}
			if ids, want := parts.diffIDs(t, name), whole.diffIDs(t, name); ids != want {
				t.Errorf("%s has the diffIDs %s; want %s", name, ids, want)
			}
		}
	}
}
