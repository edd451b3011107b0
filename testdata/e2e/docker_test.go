package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// dockers lists the Docker daemons to test.
var dockers = []struct {
	name    string
	debian  func() (string, error)
	version string // of the daemon
	config  string // of the daemon
	says    string // in the output of docker info
	zstd    bool   // can read zstd
}{
	{"bookworm", bookworm, "20.", `{}`, "overlay2", false},
	{"trixie", trixie, "26.", `{}`, "overlay2", true},
	{"trixie, containerd store", trixie, "26.", `{"features": {"containerd-snapshotter": true}}`, "io.containerd.snapshotter", true},
}

// startDocker starts a machine with a daemon that does not change the network.
func startDocker(t *testing.T, debian func() (string, error), config string) *machine {
	t.Helper()
	file := filepath.Join(lab.root.scratch(t), "daemon.json")
	writeFile(t, file, config)
	m := startMachine(t, debian, "dockerd", "--config-file", file, "--data-root", "/run/data",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
	m.await(t, "docker", "version")
	return m
}

// TestDocker checks that Docker loads streamed images under the names from --tag, and runs them.
func TestDocker(t *testing.T) {
	p := lab.user
	for _, d := range dockers {
		t.Run(d.name, func(t *testing.T) {
			m := startDocker(t, d.debian, d.config)
			r := do(t, m.command("docker", "info", "--format", "{{.ServerVersion}} {{.Driver}} {{.DriverStatus}}"))
			if !strings.HasPrefix(r.stdout, d.version) || !strings.Contains(r.stdout, d.says) {
				t.Errorf("%v\nwant version %s, and %s", r, d.version, d.says)
			}
			for _, transport := range []string{"oci-archive:", "docker-archive:"} {
				for _, c := range archiveCompressions(transport) {
					t.Run(transport+c, func(t *testing.T) {
						stream := p.command(p.scratch(t), lab.program, "image", "--profile", lab.profile, "--compression", c,
							"--tag", "hello:v1", "--tag", "registry.example.com/team/hello:v2", transport+"-")
						load := m.command("docker", "load")
						if strings.HasPrefix(c, "zstd") && !d.zstd {
							load.Stdin = pipe(t, stream)
							if r := try(t, load); r.status() == 0 {
								t.Errorf("%v\nwant a failure, as export-profile warned", r)
							}
							return
						}
						pipeInto(t, stream, load)
						r := do(t, m.command("docker", "images", "--format", "{{.Repository}}:{{.Tag}}"))
						got := strings.Fields(r.stdout)
						slices.Sort(got)
						names := []string{"hello:v1", "registry.example.com/team/hello:v2"}
						if !slices.Equal(got, names) {
							t.Errorf("%v\nwant %q", r, names)
						}
						checkProgram(t, do(t, m.command("docker", append([]string{"run", "--rm", "--network=none", "hello:v1"}, programOf(c)...)...)), c)
						do(t, m.command("docker", append([]string{"rmi"}, names...)...))
					})
				}
			}
			t.Run("health check", func(t *testing.T) { testHealth(t, m) })
		})
	}
}

// testHealth checks that Docker runs an image's health check: a container becomes healthy, and unhealthy when the check fails.
func testHealth(t *testing.T, m *machine) {
	p := lab.user
	for _, check := range []string{"test -e /tmp/well", `["sh", "-c", "test -e /tmp/well"]`} {
		stream := p.command(p.scratch(t), lab.program, "image", "--profile", lab.profile, "--tag", "health:v1",
			"--healthcheck", check, "--healthcheck-interval", "200ms", "--healthcheck-timeout", "10s", "--healthcheck-retries", "2",
			"--cmd", `["sh", "-c", "touch /tmp/well; exec tail -f /dev/null"]`, "docker-archive:-")
		pipeInto(t, stream, m.command("docker", "load"))
		do(t, m.command("docker", "run", "--detach", "--network=none", "--name", "health", "health:v1"))
		for _, want := range []string{"healthy", "unhealthy"} {
			got := ""
			for end := time.Now().Add(time.Minute); got != want && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				got = strings.TrimSpace(do(t, m.command("docker", "inspect", "--format", "{{.State.Health.Status}}", "health")).stdout)
			}
			if got != want {
				t.Errorf("with the check %s, Docker calls the container %q; want %q\n%v", check, got, want,
					do(t, m.command("docker", "inspect", "health")))
			}
			do(t, m.command("docker", "exec", "health", "rm", "-f", "/tmp/well"))
		}
		do(t, m.command("docker", "rm", "--force", "health"))
		do(t, m.command("docker", "rmi", "health:v1"))
	}
}
