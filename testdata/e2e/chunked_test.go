package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pushChunked lets podman write an image with its own writer of zstd:chunked.
func (n node) pushChunked(t *testing.T, layout, address string) {
	t.Helper()
	id := strings.TrimSpace(do(t, n.podman("pull", "-q", "oci:"+layout)).stdout)
	do(t, n.podman("push", "-q", "--tls-verify=false", "--compression-format=zstd:chunked", "--force-compression", id, address))
}

// tree lists the files of an image in a node's storage: type, mode, content, owner, number of links, and times of files.
func (n node) tree(t *testing.T, name string) map[string]string {
	t.Helper()
	mounted := strings.TrimSpace(do(t, n.podman("image", "mount", name)).stdout)
	defer func() { do(t, n.podman("image", "unmount", name)) }()
	root := filepath.Join("/proc", strconv.Itoa(n.machine.first.Process.Pid), "root", mounted)
	all := list(t, root)
	for path := range all {
		fi, err := os.Lstat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		all[path] += fmt.Sprintf(", %d:%d, %d links", st.Uid, st.Gid, st.Nlink)
		if fi.Mode().IsRegular() { // podman leaves the time of the pull to directories and symbolic links that it makes from a TOC
			all[path] += ", " + fi.ModTime().UTC().String()
		}
	}
	return all
}

// runs checks that the program of an image runs.
func (n node) runs(t *testing.T, name string) {
	t.Helper()
	if r := do(t, n.podman("run", "--rm", "--network=none", name, "curl", "--version")); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
}

// chunkedImages are images of the profile before and after an update of libssl3, in a registry with a proxy.
type chunkedImages struct {
	*registryProxy
	layout string // of the same images, with tags v1 and v2
}

// pushChunkedImages pushes the images as team/curl:v1 and v2 and, with layers of plain zstd, as plain/curl:v1 and v2.
func pushChunkedImages(t *testing.T) chunkedImages {
	t.Helper()
	p := lab.user
	dir := p.scratch(t)
	v := startProxy(t, startRegistry(t, ""))
	for place, compression := range map[string]string{
		"docker://" + v.address + "/team/curl": "zstd:chunked", "docker://" + v.address + "/plain/curl": "zstd", "oci:layout": "zstd:chunked",
	} {
		p.export(t, dir, "image", "--profile", lab.profile, "--compression", compression, place+":v1")
		p.export(t, dir, "image", "--profile", revised(t, "libssl3"), "--compression", compression, "--previous", place+":v1", place+":v2")
	}
	return chunkedImages{v, filepath.Join(dir, "layout")}
}

// TestPodmanChunked checks that podman 5 fetches less of an update from our layers than from those that it writes itself,
// and that the image is the same as without partial pulls: it runs, its files are those of the tars, and it can be pushed on.
func TestPodmanChunked(t *testing.T) {
	v := pushChunkedImages(t)
	m := startNodes(t)
	ours, peer, plain := newNode(t, m, true), newNode(t, m, true), newNode(t, m, false)
	writer := newNode(t, m, false)
	if r := do(t, ours.podman("--version")); !strings.Contains(r.stdout, " 5.") {
		t.Errorf("%v\nwant version 5", r)
	}
	fetched := make(map[string]traffic)
	for _, tag := range []string{"v1", "v2"} {
		writer.pushChunked(t, v.layout+":"+tag, v.address+"/peer/curl:"+tag)
		for _, n := range []struct {
			node
			repository string
		}{{ours, "team/curl"}, {peer, "peer/curl"}} {
			got, log := n.pull(t, v.registryProxy, n.repository, tag)
			t.Logf("%s:%s: %v; %d layers in parts", n.repository, tag, got, partialLayers(log))
			if partialLayers(log) == 0 || got.ranges == 0 || got.blobs > 0 {
				t.Errorf("%s:%s: %v; %d layers in parts; want only parts\n%s", n.repository, tag, got, partialLayers(log), log)
			}
			fetched[n.repository+":"+tag] = got
			if tag == "v2" {
				checkPredicted(t, v.address+"/"+n.repository, got, partialLayers(log))
			}
		}
		got, _ := plain.pull(t, v.registryProxy, "plain/curl", tag)
		t.Logf("plain/curl:%s: %v", tag, got)
		fetched["plain/curl:"+tag] = got
	}
	if got, other := fetched["team/curl:v2"].wire, fetched["peer/curl:v2"].wire; got > 120_000 || got > other {
		t.Errorf("for the update, podman fetches %d bytes; want at most 120,000, and no more than the %d from its own layers", got, other)
	}
	for _, tag := range []string{"v1", "v2"} {
		name, same := v.address+"/team/curl:"+tag, v.address+"/plain/curl:"+tag
		ours.runs(t, name)
		if diff := cmp.Diff(plain.tree(t, same), ours.tree(t, name)); diff != "" {
			t.Errorf("%s (-pulled whole +pulled in parts):\n%s", tag, diff)
		}
		ids := ours.diffIDs(t, name)
		if want := plain.diffIDs(t, same); ids != want {
			t.Errorf("%s has the diffIDs %s; want %s", tag, ids, want)
		}
		if got, want := do(t, ours.podman("image", "diff", name)).stdout, do(t, plain.podman("image", "diff", same)).stdout; got != want || got == "" {
			t.Errorf("podman diff of %s: %s\nwant %s", tag, got, want)
		}
		do(t, ours.podman("push", "-q", "--tls-verify=false", name, v.address+"/onward/curl:"+tag))
		checkPushed(t, v.address, "onward/curl", tag)
		do(t, plain.podman("pull", "-q", "--tls-verify=false", v.address+"/onward/curl:"+tag))
		if got := plain.diffIDs(t, v.address+"/onward/curl:"+tag); got != ids {
			t.Errorf("%s, pushed onward, has the diffIDs %s; want %s", tag, got, ids)
		}
	}
	do(t, ours.podman("run", "--name", "changed", "--network=none", v.address+"/team/curl:v2", "dash", "-c", "echo > /tmp/new"))
	got := strings.Split(strings.TrimSpace(do(t, ours.podman("diff", "changed")).stdout), "\n")
	slices.Sort(got)
	t.Logf("podman diff: %q", got)
	if !slices.Contains(got, "A /tmp/new") || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "/nix/store") }) {
		t.Errorf("podman diff of a container says %q; want /tmp/new, and nothing in the store", got)
	}
	do(t, ours.podman("rm", "changed"))
}

// checkPredicted checks that podman has requested the ranges for the update from v1 to v2 that export-profile diff predicts:
// as many as it says, and two for the tables of each layer. Their headers come on top.
func checkPredicted(t *testing.T, repository string, got traffic, layers int) {
	t.Helper()
	var d struct {
		Layers struct {
			Chunks struct {
				ContentBytes, TableBytes int64
				Ranges                   int
			}
		}
	}
	out := do(t, lab.user.command(lab.user.scratch(t), lab.program, "diff", "--quiet", "--json", "docker://"+repository+":v1", "docker://"+repository+":v2")).stdout
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	c := d.Layers.Chunks
	const header = 250 // of a part, with the boundary before it
	least := c.ContentBytes + c.TableBytes
	t.Logf("%s: diff predicts %d bytes in %d ranges and %d bytes of tables", repository, c.ContentBytes, c.Ranges, c.TableBytes)
	if most := least + int64(got.spliced)*header; got.spliced != c.Ranges+2*layers || got.ranges < least || got.ranges > most {
		t.Errorf("%s: podman fetches %v; want %d to %d bytes of %d parts", repository, got, least, most, c.Ranges+2*layers)
	}
}

// TestPodmanChunkedNoRanges checks that podman never has a wrong image from registries that do not answer requests for parts.
// It pulls whole layers if they answer with status 400, and cuts a whole layer itself. With other errors it fails.
func TestPodmanChunkedNoRanges(t *testing.T) {
	v := pushChunkedImages(t)
	m := startNodes(t)
	plain := newNode(t, m, false)
	plain.pull(t, v.registryProxy, "plain/curl", "v2")
	want := plain.tree(t, v.address+"/plain/curl:v2")
	refuse := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(status)
				return true
			}
			return false
		}
	}
	for _, tt := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		fails bool
	}{
		{"200, whole", func(w http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }, false},
		{"400", refuse(http.StatusBadRequest), false},
		{"416", refuse(http.StatusRequestedRangeNotSatisfiable), true},
		{"501", refuse(http.StatusNotImplemented), true},
		{"501 for several parts", func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.Header.Get("Range"), ",") {
				w.WriteHeader(http.StatusNotImplemented)
				return true
			}
			return false
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, m, true)
			name := v.address + "/team/curl:v2"
			v.fault = tt.fault
			defer func() { v.fault = nil }()
			r := try(t, n.podman("--log-level=debug", "pull", "-q", "--tls-verify=false", name))
			v.fault = nil
			if failed := r.status() != 0; failed != tt.fails {
				t.Errorf("podman fails: %t, %s; want %t", failed, podmanError(r.stderr), tt.fails)
			}
			if r.status() != 0 {
				t.Logf("podman does not fall back: %s", podmanError(r.stderr))
				if exists := try(t, n.podman("image", "exists", name)); exists.status() == 0 {
					t.Errorf("podman fails and has the image: %v", r)
				}
				return
			}
			t.Logf("%d layers in parts", partialLayers(r.stderr))
			n.runs(t, name)
			if diff := cmp.Diff(want, n.tree(t, name)); diff != "" {
				t.Errorf("(-pulled whole +pulled with the fault):\n%s", diff)
			}
		})
	}
}

// podmanError returns the error in podman's debug log.
func podmanError(log string) string {
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "Error: ") {
			return strings.TrimSpace(line)
		}
	}
	return "no error"
}
