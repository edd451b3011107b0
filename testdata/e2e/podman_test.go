package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// podman returns a podman command that works for an ordinary user on a machine without systemd.
func (p person) podman(dir string, args ...string) *exec.Cmd {
	return p.command(dir, "podman", append([]string{"--runtime", "runc", "--cgroup-manager=cgroupfs"}, args...)...)
}

// podmanRun runs a container without a network. It must succeed.
func podmanRun(t *testing.T, p person, dir string, args ...string) result {
	t.Helper()
	args = append([]string{"run", "--network=none", "--rm"}, args...)
	return do(t, p.podman(dir, args...))
}

// load writes an image to a layout and loads it into podman under a name.
func load(t *testing.T, p person, dir, name string, args ...string) {
	t.Helper()
	layout := dir + "/" + name
	p.export(t, dir, append(append([]string{"image", "--profile", lab.profile}, args...), "oci:"+layout+":v1")...)
	do(t, p.podman(dir, "load", "-i", layout))
	// podman 4.3 names it after the directory; later versions do not name it and print its ID.
	r := do(t, p.podman(dir, "pull", "-q", "oci:"+layout+":v1"))
	do(t, p.podman(dir, "tag", strings.TrimSpace(r.stdout), name))
}

// TestPodman checks that podman runs an image, also with a mount over /run.
func TestPodman(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	load(t, p, dir, "curl")
	if r := podmanRun(t, p, dir, "curl", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
	// A mount over /run hides /run/profile.
	for _, mount := range []string{"--volume=/run", "--tmpfs=/run"} {
		if r := podmanRun(t, p, dir, mount, "curl", "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
			t.Errorf("%v\nwant %q", r, curlVersion(t))
		}
	}
}

// TestPodmanUser checks the user, environment and working directory in a container.
func TestPodmanUser(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	load(t, p, dir, "app", "--user", "app:1000", "--env", "GREETING=a, b", "--workdir", "/home/app", "--entrypoint", `["sh", "-c"]`)
	r := podmanRun(t, p, dir, "app",
		`echo $PATH; echo $SSL_CERT_FILE; id -un; id -u; touch /tmp/x && touch x && echo written; echo $GREETING; pwd`)
	want := fmt.Sprintf("/run/profile/bin:%s/bin\n%s\napp\n1000\nwritten\na, b\n/home/app\n", lab.object, "/etc/ssl/certs/ca-bundle.crt")
	if r.stdout != want {
		t.Errorf("%v\nwant stdout: %s", r, want)
	}
}

// TestPodmanCompressions checks that podman runs images of all compressions.
func TestPodmanCompressions(t *testing.T) {
	p := lab.user
	for _, compression := range []string{"none", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			dir := p.scratch(t)
			load(t, p, dir, "as-"+compression, "--compression", compression)
			if r := podmanRun(t, p, dir, "as-"+compression, "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
				t.Errorf("%v\nwant %q", r, curlVersion(t))
			}
		})
	}
}

// TestPodmanHint checks that the command in the hint after image works.
func TestPodmanHint(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	r := do(t, p.command(dir, lab.program, "image", "--profile", lab.profile, "oci:hinted:v2"))
	var line string
	for s := bufio.NewScanner(strings.NewReader(r.stderr)); s.Scan(); {
		if _, after, ok := strings.Cut(s.Text(), "load it with: "); ok {
			line = after
		}
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		t.Fatalf("%v\nwant a hint how to load the image", r)
	}
	do(t, p.command(dir, "sh", "-c", line))
	if r := podmanRun(t, p, dir, words[len(words)-1], "curl", "--version"); !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
}

// TestPodmanNewer checks that a newer podman, run by an ordinary user, loads archives under the name from --tag,
// and pulls layouts.
func TestPodmanNewer(t *testing.T) {
	p := lab.user
	m := startMachine(t, trixie, "sleep", "infinity")
	dir := p.scratch(t)
	// Its storage and sockets are inside the machine.
	do(t, m.command("install", "-d", "-m", "0700", "-o", p.name, "/run/podman", "/run/podman/run"))
	p = p.with("HOME=/run/podman", "XDG_RUNTIME_DIR=/run/podman/run", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	podman := func(args ...string) *exec.Cmd {
		return m.as(p, dir, "podman", append([]string{"--runtime", "runc", "--cgroup-manager=cgroupfs"}, args...)...)
	}
	if r := do(t, podman("--version")); !strings.Contains(r.stdout, " 5.") {
		t.Errorf("%v\nwant version 5", r)
	}
	runs := func(t *testing.T, name string) {
		t.Helper()
		r := do(t, podman("images", "--format", "{{.Repository}}:{{.Tag}}"))
		if !slices.Contains(strings.Fields(r.stdout), name) {
			t.Errorf("%v\nwant %s", r, name)
		}
		if r := do(t, podman("run", "--rm", "--network=none", name, "curl", "--version")); !strings.HasPrefix(r.stdout, curlVersion(t)) {
			t.Errorf("%v\nwant %q", r, curlVersion(t))
		}
		do(t, podman("rmi", name))
	}
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		for _, c := range compressions {
			t.Run(transport+c, func(t *testing.T) {
				pipeInto(t, lab.user.command(dir, lab.program, "image", "--profile", lab.profile, "--compression", c,
					"--tag", "hello:v1", transport+"-"), podman("load"))
				runs(t, "docker.io/library/hello:v1")
			})
		}
	}
	t.Run("oci:", func(t *testing.T) {
		lab.user.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
		r := do(t, podman("pull", "-q", "oci:"+dir+"/layout:v1"))
		do(t, podman("tag", strings.TrimSpace(r.stdout), "layout:v1"))
		runs(t, "localhost/layout:v1")
	})
}
