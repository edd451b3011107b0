package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSweep sweeps what image, rootfs, index and cache do. Without EXHAUSTIVE it is a sample.
func TestSweep(t *testing.T) {
	p := lab.user
	secret, _ := signingKey(t, "sweep-1")
	// start returns a directory with an export stream and a secret key, after commands of export-profile in it.
	start := func(t *testing.T, commands ...[]string) string {
		t.Helper()
		dir := p.scratch(t)
		if err := os.Mkdir(filepath.Join(dir, "golden"), 0o755); err != nil {
			t.Fatal(err)
		}
		goldenExport(t, filepath.Join(dir, "golden"))
		writeFile(t, filepath.Join(dir, "key"), readFile(t, secret))
		if err := p.own(dir); err != nil {
			t.Fatal(err)
		}
		for _, args := range commands {
			p.export(t, dir, args...)
		}
		return dir
	}
	image := func(args ...string) []string {
		return append([]string{"image", "--from", "golden/basic.nix-export"}, args...)
	}
	cached := image("--cache", "cache", "oci:cache/filled:v1")
	other := image("--no-cache", "--label", "a=b", "oci:layout:v1")
	kept := image("--no-cache", "--label", "a=c", "oci:layout:kept")
	for _, tt := range []struct {
		start [][]string
		sweepCase
	}{
		{nil, sweepCase{name: "new", args: image("--cache", "cache", "--digest-file", "digest", "--sbom", "spdx:sbom",
			"--attest", "key", "--attestation-file", "attestation", "oci:layout:v1"),
			output: []string{"layout"}, beside: []string{"digest", "sbom", "attestation"}}},
		{[][]string{other, kept}, sweepCase{name: "replaced tag", args: image("--cache", "cache", "oci:layout:v1"), output: []string{"layout"}}},
		{[][]string{cached, other}, sweepCase{name: "from the cache", args: image("--cache", "cache", "oci:layout:v2"), output: []string{"layout"}}},
		{[][]string{cached}, sweepCase{name: "recompressed", args: image("--cache", "cache", "--compression", "zstd", "oci:layout:v1"), output: []string{"layout"}}},
		{nil, sweepCase{name: "no cache", args: image("--no-cache", "oci:layout:v1"), output: []string{"layout"}}},
		{nil, sweepCase{name: "local store", args: []string{"image", "--no-cache", "--profile", dash(t), "oci:layout:v1"}, output: []string{"layout"}}},
		{[][]string{other}, sweepCase{name: "previous", args: image("--no-cache", "--previous", "oci:layout:v1", "oci:layout:v2"), output: []string{"layout"}}},
		{[][]string{image("--no-cache", "--label", "a=b", "oci-archive:image.tar")}, sweepCase{name: "replaced oci-archive",
			args: image("--cache", "cache", "--digest-file", "digest", "oci-archive:image.tar"), output: []string{"image.tar"}, beside: []string{"digest"}}},
		{[][]string{cached}, sweepCase{name: "docker-archive", args: image("--cache", "cache", "--tag", "hello:v1", "docker-archive:image.tar"), output: []string{"image.tar"}}},
		{nil, sweepCase{name: "rootfs", args: []string{"rootfs", "--cache", "cache", "--from", "golden/basic.nix-export", "--env-file", "env", "root"},
			output: []string{"root"}, beside: []string{"env"}}},
		{[][]string{cached}, sweepCase{name: "tar", args: []string{"rootfs", "--cache", "cache", "--from", "golden/basic.nix-export", "tar:root.tar"}, output: []string{"root.tar"}}},
		{[][]string{other, kept}, sweepCase{name: "index", args: []string{"index", "--cache", "cache", "oci:joined:v1", "oci:layout:v1"}, output: []string{"joined"}}},
		{nil, sweepCase{name: "sbom", args: []string{"sbom", "--no-cache", "--from", "golden/basic.nix-export", "--output", "sbom"}, output: []string{"sbom"}}},
		{[][]string{other}, sweepCase{name: "attest", args: []string{"attest", "--cache", "cache", "--key", "key", "oci:layout:v1"}, output: []string{"layout-v1.intoto.jsonl"}}},
		{nil, sweepCase{name: "report", args: []string{"report", "--no-cache", "--from", "golden/basic.nix-export", "page.html"}, output: []string{"page.html"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			newSweep(t, p, start(t, tt.start...), tt.sweepCase).all(t)
		})
	}

	for _, command := range []string{"", "prune", "prune --all", "verify"} {
		t.Run(strings.TrimSpace("cache "+command), func(t *testing.T) {
			t.Parallel()
			template := start(t, cached)
			want := p.export(t, template, image("--no-cache", "oci:golden/layout:v1")...)
			c := sweepCase{name: "cache " + command, args: append([]string{"cache", "--cache", "cache"}, strings.Fields(command)...)}
			switch command {
			case "prune", "prune --all": // a record that cannot be read is removed
				c.printsVary = true
			case "verify": // what a disk cannot read is damaged
				c.status = []int{3}
			}
			var s *sweep
			c.state = func(t *testing.T) string { // a cache may lose anything, but must never make a wrong image
				if s == nil {
					return "after"
				}
				r := try(t, p.command(s.dir, lab.program, image("--cache", "cache", "oci:golden/made:v1")...))
				l, err := readLayout(filepath.Join(s.dir, "golden/made"))
				if r.status() != 0 || strings.TrimSpace(r.stdout) != want || err != nil || l.digests()["v1"] != want {
					return fmt.Sprintf("a cache that makes a wrong image: %v\n%v", err, r)
				}
				return "after"
			}
			c.failsAfter = true
			s = newSweep(t, p, template, c)
			s.all(t)
		})
	}

	t.Run("push", func(t *testing.T) {
		t.Parallel()
		registry := startRegistry(t, "")
		c := sweepCase{name: "push", args: image("--cache", "cache", "--tls-verify=false", "docker://"+registry+"/first:v1")}
		repository, n := "", 0
		c.restart = func(*testing.T) {
			n++
			repository = fmt.Sprintf("sweep%d", n)
			c.args[len(c.args)-1] = "docker://" + registry + "/" + repository + ":v1"
		}
		c.state = func(t *testing.T) string { return pushedState(t, "http://"+registry+"/v2/"+repository) }
		newSweep(t, p, start(t), c).all(t)
	})
}

// pushedState says whether a repository has the tag v1 with all its blobs.
func pushedState(t *testing.T, repository string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, repository+"/manifests/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", ispec.MediaTypeImageManifest)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return "before"
	}
	var manifest ispec.Manifest
	if err := json.NewDecoder(answer.Body).Decode(&manifest); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Sprintf("the tag has status %d, %v", answer.StatusCode, err)
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		blob, err := http.Head(repository + "/blobs/" + d.Digest.String())
		if err != nil {
			t.Fatal(err)
		}
		blob.Body.Close()
		if blob.StatusCode != http.StatusOK || blob.ContentLength != d.Size {
			return fmt.Sprintf("blob %s has status %d and %d bytes", d.Digest, blob.StatusCode, blob.ContentLength)
		}
	}
	return "after"
}
