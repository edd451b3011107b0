package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// printTree is a shell script that prints one digest of all that a container has in its store:
// names, modes, owners, times, links and contents.
const printTree = `n='
'
walk() {
	for f in "$1"/* "$1"/.[!.]*; do
		if [ -h "$f" ]; then all=$all$n$f
		elif [ -d "$f" ]; then all=$all$n$f; walk "$f"
		elif [ -f "$f" ]; then all=$all$n$f files=$files$n$f
		fi
	done
}
walk /nix
set -f
IFS=$n
{ stat -c '%N %a %u:%g %Y %F' $all; sha256sum $files; } | sha256sum
`

// printedTree is what printTree prints in the root filesystem that rootfs writes.
var printedTree = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(filepath.Join(lab.dir, "tmp"), "tree")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if _, err := output(lab.root.command(dir, lab.program, "rootfs", "--profile", lab.profile, "./root")); err != nil {
		return "", err
	}
	cmd := exec.Command("chroot", filepath.Join(dir, "root"), "/bin/sh", "-c", printTree)
	cmd.Env = []string{"PATH=/run/profile/bin"}
	return output(cmd)
})

// programOf returns what a container with an image of a compression is to run.
func programOf(compression string) []string {
	if compression == "zstd:chunked" {
		return []string{"sh", "-c", "curl --version\n" + printTree}
	}
	return []string{"curl", "--version"} // other tests compare the files of these
}

// checkProgram checks what the command of programOf has printed.
func checkProgram(t *testing.T, r result, compression string) {
	t.Helper()
	if !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
	if compression != "zstd:chunked" {
		return
	}
	if want, err := printedTree(); err != nil || len(want) < 64 || !strings.HasSuffix(r.stdout, want) {
		t.Errorf("%v\nwant the files with the digest %s, %v", r, want, err)
	}
}

// tablesIn counts the layers of an image, by their media type and by how many annotations about tables they have.
func tablesIn(m ispec.Manifest) map[string]int {
	count := make(map[string]int)
	for _, l := range m.Layers {
		n := 0
		for key := range l.Annotations {
			if strings.HasPrefix(key, "io.github.containers.zstd-chunked.") {
				n++
			}
		}
		count[fmt.Sprintf("%s, %d annotations", path.Ext(l.MediaType), n)]++
	}
	return count
}

// TestChunkedCopies checks what happens to the annotations of zstd:chunked layers when other programs copy an image:
// they stay as long as the blobs do, and a blob that a program has made itself has none.
func TestChunkedCopies(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	digest := p.export(t, dir, "image", "--profile", lab.profile, "--compression", "zstd:chunked", "oci:layout:v1")
	layers := len(imageOf(t, p, dir, "oci:layout:v1").Layers)
	registry := startRegistry(t, "")
	v1 := "docker://" + registry + "/team/curl:v1"
	p.export(t, dir, "image", "--profile", lab.profile, "--compression", "zstd:chunked", v1)
	copied := func(to string, args ...string) []string {
		return append([]string{"skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:layout:v1", to}, args...)
	}
	crane := goTool(t, "crane")
	const same, gzipped, plain = ".tar+zstd, 3 annotations", ".tar+gzip, 0 annotations", ".tar, 0 annotations"
	for _, tt := range []struct {
		to, want string
		command  []string
	}{
		{"dir:copied", same, copied("dir:copied")},
		{"oci:copied:v1", same, copied("oci:copied:v1")},
		{"oci-archive:copied.tar", same, copied("oci-archive:copied.tar")},
		{"docker://" + registry + "/skopeo/curl:v1", same, copied("docker://" + registry + "/skopeo/curl:v1")},
		{"dir:gzip", gzipped, copied("dir:gzip", "--dest-compress", "--dest-compress-format", "gzip")},
		{"dir:plain", plain, copied("dir:plain", "--dest-decompress")},
		{"docker://" + registry + "/crane/curl:v1", same, []string{crane, "copy", registry + "/team/curl:v1", registry + "/crane/curl:v1"}},
		{"oci:crane", same, []string{crane, "pull", "--format", "oci", registry + "/team/curl:v1", "crane"}},
		{"docker://" + registry + "/crane/flat:v1", gzipped, []string{crane, "flatten", "-t", registry + "/crane/flat:v1", registry + "/team/curl:v1"}},
	} {
		do(t, p.command(dir, tt.command[0], tt.command[1:]...))
		flags := []string{"inspect", "--raw"}
		if strings.HasPrefix(tt.to, "docker://") {
			flags = append(flags, "--tls-verify=false")
		}
		got := tablesIn(decodeManifest(t, do(t, p.command(dir, "skopeo", append(flags, tt.to)...))))
		want := map[string]int{tt.want: layers}
		if strings.HasSuffix(tt.to, "flat:v1") {
			want[tt.want] = 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: layers (-want +got):\n%s", tt.command, diff)
		}
		if tt.want == same && !strings.HasPrefix(tt.to, "dir:") {
			verifies(t, p, dir, digest, tt.to)
		}
	}
	// Docker's format has neither zstd nor annotations.
	r := try(t, p.command(dir, "skopeo", "copy", "-q", "oci:layout:v1", "docker-archive:docker.tar"))
	if r.status() == 0 || !strings.Contains(r.stderr, "zstd compression is not supported for docker images") {
		t.Errorf("%v\nwant an error about zstd", r)
	}
	// The files are the same as those of a gzip image.
	p.export(t, dir, "image", "--profile", lab.profile, "docker://"+registry+"/team/curl:gzip")
	for tag, file := range map[string]string{"gzip": "gzip.tar", "v1": "chunked.tar"} {
		do(t, p.command(dir, crane, "export", registry+"/team/curl:"+tag, file))
	}
	do(t, p.command(dir, "cmp", "gzip.tar", "chunked.tar"))
	// crane's archives have Docker's format, and it says of their layers that they are gzip.
	do(t, p.command(dir, crane, "pull", registry+"/team/curl:v1", "crane.tar"))
	do(t, p.command(dir, crane, "push", "crane.tar", registry+"/crane/curl:lie"))
	r = try(t, p.command(dir, lab.program, "verify", "docker://"+registry+"/crane/curl:lie"))
	if r.status() == 0 || !strings.Contains(r.stdout, "gzip: invalid header") {
		t.Errorf("%v\nwant an error about gzip", r)
	}
	// podman knows that the registry has the blob, but has forgotten the annotations.
	name := registry + "/team/curl:v1"
	do(t, p.podman(dir, "pull", "-q", "--tls-verify=false", name))
	checkProgram(t, podmanRun(t, p, dir, append([]string{name}, programOf("zstd:chunked")...)...), "zstd:chunked")
	do(t, p.podman(dir, "push", "-q", "--tls-verify=false", name, registry+"/podman/curl:v1"))
	for what := range tablesIn(manifestOf(t, registry, "podman/curl", "v1")) {
		if !strings.HasSuffix(what, ", 0 annotations") {
			t.Errorf("podman push writes layers of the kind %q", what)
		}
	}
	p.export(t, dir, "verify", "docker://"+registry+"/podman/curl:v1")
}
