package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what commands print into the transcripts")

// TestFirstSteps runs the transcripts in firststeps: what each of three people types, and what comes out, up to a running container.
// The manual shows them as they are. -update records them, and go test ./cmd/export-profile -run TestManualTables -update copies them there.
func TestFirstSteps(t *testing.T) {
	curl := lab.closure[slices.IndexFunc(lab.closure, func(p string) bool { return regexp.MustCompile(`-curl-[0-9]`).MatchString(p) })]
	p := lab.user
	tools := toolsOnly(t, "podman")
	person := p.with("PATH=" + tools)
	cache := filepath.Join(p.home, ".cache/export-profile")
	// podman keeps the mounts of the first command for later ones: they must be those of this machine.
	do(t, p.command("/", "podman", "images", "--quiet"))
	t.Cleanup(func() {
		try(t, p.command("/", "podman", "rmi", "--force", "localhost/curl:v1", "localhost/hello", "localhost/nix:v1"))
	})

	t.Run("nix", func(t *testing.T) {
		setAside(t, cache)
		dir := p.scratch(t)
		makeLinks(t, dir, map[string]string{"result": curl})
		replay(t, "nix", func(line string) *exec.Cmd { return person.command(dir, "sh", "-c", line) })
	})
	t.Run("dockerfile", func(t *testing.T) {
		dir := p.scratch(t)
		p.export(t, dir, "image", "--profile", lab.profile, "--with-nix-db", "--mkdir", "/usr/bin", "--mkdir", "/root",
			"--symlink", lab.object+":/root/.nix-profile", "--env", "PATH=/root/.nix-profile/bin:/usr/bin:/bin", "--compression", "none", "oci:nix")
		do(t, p.command(dir, "sh", "-c", "podman tag $(podman pull --quiet oci:nix) localhost/nix:v1"))
		do(t, p.command(dir, "cp", lab.program, "."))
		writeFile(t, filepath.Join(dir, "Dockerfile"), dockerfile)
		builder := p.with("PATH="+toolsOnly(t, "podman", "buildah"), "BUILDAH_ISOLATION=chroot")
		replay(t, "dockerfile", func(line string) *exec.Cmd { return builder.command(dir, "sh", "-c", line) })
	})
	t.Run("export", func(t *testing.T) {
		setAside(t, cache)
		dir := p.scratch(t)
		closure, _, err := queryClosure(curl)
		if err != nil {
			t.Fatal(err)
		}
		stream := nix("nix-store", append([]string{"--export"}, closure...)...)
		out, err := os.Create(filepath.Join(dir, "curl.export"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		stream.Stdout = out
		if err := stream.Run(); err != nil {
			t.Fatal(err)
		}
		r := try(t, person.without("/nix", p.scratch(t), "export-profile", "doctor"))
		if r.status() != 3 || !strings.Contains(r.stdout, "There is nothing here to make an image of.") {
			t.Errorf("%v\nwant exit status 3", r)
		}
		replay(t, "export", func(line string) *exec.Cmd { return person.without("/nix", dir, "sh", "-c", line) })
	})
}

const dockerfile = `FROM localhost/nix:v1 AS build
COPY export-profile /usr/bin/
RUN export-profile doctor
RUN export-profile /dist/

FROM scratch
COPY --from=build /dist /
ENV PATH=/run/profile/bin
`

// replay runs the commands of a transcript, one after the other, and compares what they print.
func replay(t *testing.T, name string, command func(line string) *exec.Cmd) {
	t.Helper()
	file := filepath.Join("firststeps", name+".txt")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		typed, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			continue
		}
		out, err := command(typed).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", typed, err, out)
		}
		fmt.Fprintf(&got, "$ %s\n%s", typed, shown(string(out)))
	}
	if *update {
		writeFile(t, file, got.String())
		return
	}
	if d := cmp.Diff(steady(string(want)), steady(got.String())); d != "" {
		t.Errorf("%s (-transcript +now); -update records it anew:\n%s", file, d)
	}
}

// blobLine matches lines in which podman and buildah say what they do with each blob, in any order.
var blobLine = regexp.MustCompile(`(?m)(^Copying blob .*\n)+`)

// shown returns what a transcript shows of what a command prints: one line for all blobs, and the beginnings of digests.
// The version is that of a release.
func shown(out string) string {
	out = blobLine.ReplaceAllString(out, "Copying blob …\n")
	out = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`).ReplaceAllString(out, "$1…")
	return regexp.MustCompile(`export-profile v?[(0-9][^ ,]*, linux/[a-z0-9]+`).ReplaceAllString(out, "export-profile v0.1.0, linux/amd64")
}

// steady replaces in a transcript what depends on the machine and on the versions of packages: hashes, sizes, counts and versions.
func steady(text string) string {
	for _, r := range []struct{ what, with string }{
		{`/[0-9a-z]{32}-`, "/HASH-"},
		{`[0-9a-f]{11,12}…?`, "HEX"},
		{`\d+(\.\d+)? (B|kB|MB|GB)\b`, "SIZE"},
		{`\b\d+(\.\d+)?[KMG]?\t`, "SIZE\t"},
		{`\d+ (store paths|programs|layers)`, "COUNT $1"},
		{`\d+(\.\d+)+[-+~.0-9a-zA-Z]*`, "VERSION"},
		{`(?m)^(curl|libcurl|Release-Date|Protocols|Features).*$`, "$1"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.with)
	}
	return text
}

// toolsOnly makes a directory for PATH with the programs of this machine, but of the container tools only those named, and export-profile.
func toolsOnly(t *testing.T, wanted ...string) string {
	t.Helper()
	dir := lab.root.scratch(t)
	makeLinks(t, dir, map[string]string{"export-profile": lab.program})
	for _, from := range []string{"/usr/local/bin", "/usr/bin", "/usr/sbin"} {
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if slices.Contains([]string{"podman", "docker", "nerdctl", "ctr", "buildah", "skopeo", "umoci"}, e.Name()) && !slices.Contains(wanted, e.Name()) {
				continue
			}
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// makeLinks makes symbolic links in a directory, from their names to their targets.
func makeLinks(t *testing.T, dir string, links map[string]string) {
	t.Helper()
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// setAside moves a file or directory away until the end of the test.
func setAside(t *testing.T, name string) {
	t.Helper()
	aside := name + ".aside"
	moved := os.Rename(name, aside)
	if moved != nil && !errors.Is(moved, os.ErrNotExist) {
		t.Fatal(moved)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(name)
		if moved == nil {
			err = errors.Join(err, os.Rename(aside, name))
		}
		if err != nil {
			t.Error(err)
		}
	})
}
