package e2e

import (
	"strings"
	"testing"
)

// pushChunked lets podman write an image with its own writer of zstd:chunked.
func (n node) pushChunked(t *testing.T, layout, address string) {
	t.Helper()
	id := strings.TrimSpace(do(t, n.podman("pull", "-q", "oci:"+layout)).stdout)
	do(t, n.podman("push", "-q", "--tls-verify=false", "--compression-format=zstd:chunked", "--force-compression", id, address))
}

// TestPodmanChunkedPeer checks how podman's own writer and reader of zstd:chunked work together,
// since the other tests compare ours with it.
func TestPodmanChunkedPeer(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	m := startNodes(t)
	v := startProxy(t, startRegistry(t, ""))
	writer, reader := newNode(t, m, false), newNode(t, m, true)
	if r := do(t, reader.podman("--version")); !strings.Contains(r.stdout, " 5.") {
		t.Errorf("%v\nwant version 5", r)
	}
	p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
	p.export(t, dir, "image", "--profile", revised(t, "libssl3"), "--previous", "oci:layout:v1", "oci:layout:v2")
	for _, tag := range []string{"v1", "v2"} {
		writer.pushChunked(t, dir+"/layout:"+tag, v.address+"/peer/curl:"+tag)
		got, log := reader.pull(t, v, "peer/curl", tag)
		t.Logf("%s: %v; %d layers in parts", tag, got, partialLayers(log))
		if partialLayers(log) == 0 || got.ranges == 0 || got.blobs > 0 {
			t.Errorf("%s: %v; %d layers in parts; want only parts", tag, got, partialLayers(log))
		}
	}
}
