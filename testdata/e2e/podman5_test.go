package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// node is the storage of podman 5 on a machine with the newer Debian, as a computer has it that runs containers.
// It is on a disk: podman needs the overlay driver to reuse files and chunks.
type node struct {
	machine *machine
	dir     string
}

// startNodes starts a machine for nodes.
func startNodes(t *testing.T) *machine {
	t.Helper()
	m := startMachine(t, trixie, "sleep", "infinity")
	do(t, m.command("mount", "-t", "tmpfs", "none", "/dev/shm")) // has podman's locks
	do(t, m.command("sh", "-c", "echo 127.0.0.1 localhost >/etc/hosts"))
	return m
}

// newNode makes empty storage. With partial, podman pulls only the chunks that the storage lacks.
func newNode(t *testing.T, m *machine, partial bool) node {
	t.Helper()
	n := node{m, lab.root.scratch(t)}
	run := "/run/" + filepath.Base(n.dir) // short, since conmon makes sockets there
	writeFile(t, filepath.Join(n.dir, "storage.conf"), fmt.Sprintf(
		"[storage]\ndriver = \"overlay\"\ngraphroot = %q\nrunroot = %q\n\n[storage.options.pull_options]\nenable_partial_images = \"%t\"\n",
		n.dir+"/storage", run, partial))
	writeFile(t, filepath.Join(n.dir, "containers.conf"), fmt.Sprintf(
		"[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\ntmp_dir = %q\n", run+"/tmp"))
	return n
}

func (n node) podman(args ...string) *exec.Cmd {
	return n.machine.command("env", append([]string{
		"CONTAINERS_STORAGE_CONF=" + n.dir + "/storage.conf", "CONTAINERS_CONF=" + n.dir + "/containers.conf", "podman",
	}, args...)...)
}

// traffic is what one pull has fetched.
type traffic struct {
	wire              int64 // all bytes on the connections, with headers
	manifests         int64 // bytes of manifests and configs
	blobs, ranges     int64 // bytes of whole layers, and of parts of layers
	requests, spliced int   // requests for parts of layers, and how many parts those name together
}

func (b traffic) String() string {
	return fmt.Sprintf("%d bytes on the wire: %d of manifests and configs, %d of whole layers, %d of parts in %d requests for %d parts",
		b.wire, b.manifests, b.blobs, b.ranges, b.requests, b.spliced)
}

// pull pulls an image through a proxy. It returns what podman has fetched and its debug log.
func (n node) pull(t *testing.T, v *registryProxy, repository, tag string) (traffic, string) {
	t.Helper()
	v.mu.Lock()
	v.reads = nil
	v.mu.Unlock()
	before := v.bytes.Load()
	r := do(t, n.podman("--log-level=debug", "pull", "-q", "--tls-verify=false", v.address+"/"+repository+":"+tag))
	b := traffic{wire: v.bytes.Load() - before}
	v.mu.Lock()
	reads := v.reads
	v.mu.Unlock()
	layers := make(map[string]bool)
	for _, l := range manifestOf(t, v.address, repository, tag).Layers {
		layers[l.Digest.String()] = true
	}
	for _, read := range reads {
		switch digest := read.path[strings.LastIndex(read.path, "/")+1:]; {
		case read.ranges > 0:
			b.ranges += read.bytes
			b.requests++
			b.spliced += read.ranges
		case layers[digest]:
			b.blobs += read.bytes
		default:
			b.manifests += read.bytes
		}
	}
	return b, r.stderr
}

// manifestOf reads the manifest of an image in a registry.
func manifestOf(t *testing.T, address, repository, tag string) (m ispec.Manifest) {
	t.Helper()
	b := registryCall(t, http.MethodGet, address, repository+"/manifests/"+tag, nil)
	if err := json.Unmarshal(b, &m); err != nil || len(m.Layers) == 0 {
		t.Fatalf("%s:%s is not an image: %v: %s", repository, tag, err, b)
	}
	return m
}

// diffIDs returns the digests of a pulled image's uncompressed layers.
func (n node) diffIDs(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(do(t, n.podman("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)).stdout)
}

// partialLayers counts the layers that podman has put together from parts, according to its debug log.
func partialLayers(log string) int {
	return strings.Count(log, "Created zstd:chunked differ for blob")
}

// revised returns a profile in which Nix has rebuilt one package and all that need it.
// Their files have the same lengths, and differ only in hashes of store paths.
func revised(t *testing.T, pkg string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^(  p_` + regexp.MustCompile(`\W`).ReplaceAllString(pkg, "_") + ` = mk "[^"]*") ""`)
	if !line.MatchString(lab.expression) {
		t.Fatalf("revise %q: not in the closure", pkg)
	}
	link := filepath.Join(lab.dir, "store/revised-"+pkg)
	writeFile(t, link+".nix", line.ReplaceAllString(lab.expression, `$1 "2"`))
	out := do(t, nix("nix-build", link+".nix", "--no-out-link", "-Q")).stdout
	do(t, nix("nix-env", append([]string{"-p", link, "-i"}, strings.Fields(out)...)...))
	return link
}
