package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestContainerd checks that containerd imports images under the names from --tag, and runs them.
func TestContainerd(t *testing.T) {
	p := lab.user
	for _, d := range []struct {
		name    string
		debian  func() (string, error)
		version string
	}{
		{"bookworm", bookworm, "1.6."},
		{"trixie", trixie, "1.7."},
	} {
		t.Run(d.name, func(t *testing.T) {
			config := filepath.Join(lab.root.scratch(t), "config.toml")
			writeFile(t, config, "version = 2\nroot = \"/run/data\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")
			m := startMachine(t, d.debian, "containerd", "--config", config)
			m.await(t, "ctr", "version")
			if r := do(t, m.command("containerd", "--version")); !strings.Contains(r.stdout, " "+d.version) {
				t.Errorf("%v\nwant %s", r, d.version)
			}
			for _, transport := range []string{"oci-archive:", "docker-archive:"} {
				for _, c := range archiveCompressions(transport) {
					t.Run(transport+c, func(t *testing.T) {
						const name, other = "docker.io/library/hello:v1", "registry.example.com/team/hello:v2"
						stream := p.command(p.scratch(t), lab.program, "image", "--profile", lab.profile, "--compression", c,
							"--tag", "hello:v1", "--tag", other, transport+"-")
						pipeInto(t, stream, m.command("ctr", "images", "import", "-"))
						r := do(t, m.command("ctr", "images", "ls", "-q"))
						if got := strings.Fields(r.stdout); !slices.Equal(got, []string{name, other}) {
							t.Errorf("%v\nwant %s and %s", r, name, other)
						}
						checkProgram(t, do(t, m.command("ctr", append([]string{"run", "--rm", name, "one"}, programOf(c)...)...)), c)
						if c == "zstd:chunked" {
							testConverted(t, m, name)
						}
						do(t, m.command("ctr", "images", "rm", "--sync", name, other))
					})
				}
			}
		})
	}
}

// testConverted checks that verify names layers that have kept their annotations, although containerd has decompressed them.
// podman 5 with partial pulls refuses such an image. A plain copy is the same image.
func testConverted(t *testing.T, m *machine, name string) {
	t.Helper()
	dir := lab.root.scratch(t)
	do(t, m.command("ctr", "images", "export", dir+"/same.tar", name))
	lab.root.export(t, dir, "verify", "oci-archive:same.tar")
	const converted = "docker.io/library/converted:v1"
	do(t, m.command("ctr", "images", "convert", "--uncompress", "--oci", name, converted))
	do(t, m.command("ctr", "images", "export", dir+"/converted.tar", converted))
	r := try(t, lab.root.command(dir, lab.program, "verify", "oci-archive:converted.tar"))
	if want := "has the tables of zstd:chunked, but the media type"; r.status() == 0 || !strings.Contains(r.stdout, want) {
		t.Errorf("%v\nwant %q", r, want)
	}
	do(t, m.command("ctr", "images", "rm", "--sync", converted))
}
