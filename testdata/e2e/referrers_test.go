package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// attachment is one of what verify --json lists.
type attachment struct{ Subject, Digest, ArtifactType string }

// attachedTo lists what is attached to an image in a registry and to its parts, as "subject type".
func attachedTo(t *testing.T, p person, dir, image string) (all []string) {
	t.Helper()
	var result struct{ Attached []attachment }
	if err := json.Unmarshal([]byte(p.export(t, dir, "verify", "--json", image)), &result); err != nil {
		t.Fatal(err)
	}
	for _, a := range result.Attached {
		all = append(all, a.Subject+" "+a.ArtifactType)
	}
	slices.Sort(all)
	return all
}

// TestReferrers pushes images with SBOMs for two platforms to a real registry, which has no referrers API,
// and joins them in another repository, in another registry and in a layout. The SBOMs come along, with the same bytes.
func TestReferrers(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	registry, other := startRegistry(t, ""), startRegistry(t, "")
	from := "docker://" + registry + "/team/hello"
	amd64 := p.export(t, dir, "image", "--profile", lab.profile, "--sbom", "spdx:amd64.json", "--sbom", "cyclonedx", from+":amd64")
	arm64 := p.export(t, dir, "image", "--profile", lab.objects["arm"], "--sbom", "spdx:arm64.json", from+":arm64")
	want := []string{amd64 + " application/spdx+json", amd64 + " application/vnd.cyclonedx+json", arm64 + " application/spdx+json"}
	slices.Sort(want)
	layout := p.export(t, dir, "index", "oci:both:v1", from+":amd64", from+":arm64")
	for _, dest := range []string{from + ":v1", "docker://" + registry + "/other/hello:v1", "docker://" + other + "/hello:v1"} {
		if got := p.export(t, dir, "index", dest, from+":amd64", from+":arm64"); got != layout {
			t.Errorf("the index at %s is %s; want %s", dest, got, layout)
		}
		if got := attachedTo(t, p, dir, dest); !slices.Equal(got, want) {
			t.Errorf("attached to %s are %q; want %q", dest, got, want)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := os.ReadFile(filepath.Join(dir, arch+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if beside, err := os.ReadFile(filepath.Join(dir, "both-v1-linux-"+arch+".spdx.json")); err != nil || string(beside) != string(image) {
			t.Errorf("the SBOM beside the layout has %d bytes, %v; want the %d of image's", len(beside), err, len(image))
		}
	}
	// From the layout into a registry: the same artifacts, which are then not sent again.
	to := "docker://" + other + "/again:v1"
	if got := p.export(t, dir, "index", to, "oci:both:v1"); got != layout {
		t.Errorf("the index at %s is %s; want %s", to, got, layout)
	}
	if got := attachedTo(t, p, dir, to); !slices.Equal(got, want) {
		t.Errorf("attached to %s are %q; want %q", to, got, want)
	}
	for _, image := range []string{amd64, arm64} {
		tag := "/manifests/" + strings.Replace(image, ":", "-", 1)
		one, two := registryCall(t, "GET", registry, "team/hello"+tag, nil), registryCall(t, "GET", other, "again"+tag, nil)
		if len(artifactsOf(t, one)) == 0 || !slices.Equal(artifactsOf(t, one), artifactsOf(t, two)) {
			t.Errorf("the referrers tags of %s are %s and %s; want the same artifacts", image, one, two)
		}
	}
}

// artifactsOf lists the digests in a referrers tag, sorted.
func artifactsOf(t *testing.T, b []byte) (all []string) {
	t.Helper()
	var index struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		all = append(all, m.Digest)
	}
	slices.Sort(all)
	return all
}

// indexKills is the number of interrupted runs of index.
const indexKills = 10

// TestKillIndex kills index while it copies images and what they have to another repository. The tag must lead to the old image
// or to the index, and when it leads to the index, everything is attached.
func TestKillIndex(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	registry := startRegistry(t, "")
	from := "docker://" + registry + "/team/hello"
	p.export(t, dir, "image", "--profile", dash(t), "--sbom", "spdx", "--sbom", "cyclonedx", from+":amd64")
	p.export(t, dir, "image", "--profile", lab.objects["arm"], "--sbom", "spdx", from+":arm64")
	index := p.export(t, dir, "index", from+":v1", from+":amd64", from+":arm64")
	v := &victim{person: p, dir: dir, killed: make(map[string]int)}
	random := rand.New(rand.NewPCG(3, 4))
	inTime := 0
	for i := range indexKills {
		dest := fmt.Sprintf("docker://%s/n%d:v1", registry, i)
		if i == 0 {
			v.args = []string{"index", fmt.Sprintf("docker://%s/measure:v1", registry), from + ":amd64", from + ":arm64"}
			v.measure(t)
		}
		old := p.export(t, dir, "image", "--profile", dash(t), dest)
		v.args = []string{"index", dest, from + ":amd64", from + ":arm64"}
		if v.interrupt(t, random, syscall.SIGKILL) {
			inTime++
		}
		left, _, _ := strings.Cut(p.export(t, dir, "verify", dest), "\n")
		n := len(attachedTo(t, p, dir, dest))
		if left != old && left != index || left == index && n != 3 {
			t.Fatalf("a killed run left %s with %d artifacts; want %s, or %s with 3", left, n, old, index)
		}
		if got := p.export(t, dir, "index", dest, from+":amd64", from+":arm64"); got != index {
			t.Fatalf("the next run makes %s; want %s", got, index)
		}
		if n := len(attachedTo(t, p, dir, dest)); n != 3 {
			t.Fatalf("after the next run %d artifacts are attached; want 3", n)
		}
	}
	t.Logf("%d of %d runs were killed; %v each: %v", inTime, indexKills, v.duration, v.killed)
	if inTime < indexKills/2 {
		t.Errorf("too few of %d runs were killed: %v", indexKills, v.killed)
	}
}
