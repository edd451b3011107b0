package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// TestPodmanRandomUser checks the manual's recipe for OpenShift: a program with a UID that the image does not know,
// and with group 0, writes where it is to write. Only root's podman has such a UID.
func TestPodmanRandomUser(t *testing.T) {
	p := lab.root
	dir := p.scratch(t)
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "www/index.html"), "a page\n")
	p.export(t, dir, "image", "--profile", lab.profile, "--user", "1001:0", "--env", "HOME=/var/lib/app", "--workdir", "/var/lib/app",
		"--mkdir", "/var/lib/app:0770:1001:0", "--mkdir", "/run/app:0770:1001:0",
		"--add", "www:/srv/www", "--owner", "/srv/www/**=1001:0", "--mode", "/srv/www/**=0664", "--add", "www:/srv/closed", "oci:app:v1")
	image := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:"+dir+"/app:v1")).stdout)
	defer func() { _ = try(t, p.podman(dir, "rmi", "--force", image)) }()
	for user, id := range map[string]string{"1000680000:0": "1000680000", "": "1001"} {
		// The limits let podman's root run in a container itself.
		args := []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}
		if user != "" {
			args = append(args, "--user", user)
		}
		r := podmanRun(t, p, dir, append(args, image, "sh", "-c", `
			id -u; id -g; pwd; echo $HOME
			echo 1 > x && echo 2 > /run/app/y && echo 3 > /tmp/z && echo 4 >> /srv/www/index.html && cat x /run/app/y /tmp/z /srv/www/index.html
			(echo 5 > /srv/closed/w) 2>/dev/null || echo closed`)...)
		if want := id + "\n0\n/var/lib/app\n/var/lib/app\n1\n2\n3\na page\n4\nclosed\n"; r.stdout != want {
			t.Errorf("with --user %q: %v\nwant stdout: %s", user, r, want)
		}
	}
}

// TestPodmanCompressions checks that podman runs images of all compressions.
func TestPodmanCompressions(t *testing.T) {
	p := lab.user
	for _, compression := range []string{"none", "zstd", "zstd:chunked"} {
		t.Run(compression, func(t *testing.T) {
			dir := p.scratch(t)
			name := "as-" + tagOf(compression)
			load(t, p, dir, name, "--compression", compression)
			checkProgram(t, podmanRun(t, p, dir, append([]string{name}, programOf(compression)...)...), compression)
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

// TestPodmanHealth checks that podman ignores the health check of an OCI image, as a note says.
func TestPodmanHealth(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	testIgnoresHealth(t, dir, func(args ...string) *exec.Cmd { return p.podman(dir, args...) })
}

func testIgnoresHealth(t *testing.T, dir string, podman func(args ...string) *exec.Cmd) {
	t.Helper()
	lab.user.export(t, dir, "image", "--profile", lab.profile, "--healthcheck", "true", "oci:health:v1")
	id := strings.TrimSpace(do(t, podman("pull", "-q", "oci:"+dir+"/health:v1")).stdout)
	if r := do(t, podman("image", "inspect", "--format", "{{.HealthCheck}}", id)); strings.TrimSpace(r.stdout) != "<nil>" {
		t.Errorf("%v\nwant <nil>: otherwise export-profile's note is wrong", r)
	}
	do(t, podman("rmi", id))
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
	runs := func(t *testing.T, name, compression string) {
		t.Helper()
		r := do(t, podman("images", "--format", "{{.Repository}}:{{.Tag}}"))
		if !slices.Contains(strings.Fields(r.stdout), name) {
			t.Errorf("%v\nwant %s", r, name)
		}
		checkProgram(t, do(t, podman(append([]string{"run", "--rm", "--network=none", name}, programOf(compression)...)...)), compression)
		do(t, podman("rmi", name))
	}
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		for _, c := range archiveCompressions(transport) {
			t.Run(transport+c, func(t *testing.T) {
				pipeInto(t, lab.user.command(dir, lab.program, "image", "--profile", lab.profile, "--compression", c,
					"--tag", "hello:v1", transport+"-"), podman("load"))
				runs(t, "docker.io/library/hello:v1", c)
			})
		}
	}
	t.Run("health check", func(t *testing.T) {
		testIgnoresHealth(t, dir, podman)
	})
	t.Run("oci:", func(t *testing.T) {
		lab.user.export(t, dir, "image", "--profile", lab.profile, "oci:layout:v1")
		r := do(t, podman("pull", "-q", "oci:"+dir+"/layout:v1"))
		do(t, podman("tag", strings.TrimSpace(r.stdout), "layout:v1"))
		runs(t, "localhost/layout:v1", "gzip")
	})
}
