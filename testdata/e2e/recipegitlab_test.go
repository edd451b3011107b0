package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gitlabJob is a job of GitLab.
type gitlabJob struct {
	Stage        string
	Image        any // a name, or a map
	Needs        []string
	Variables    map[string]string
	BeforeScript []string `yaml:"before_script"`
	Script       []string
	Artifacts    struct {
		Paths    []string
		ExpireIn string `yaml:"expire_in"`
	}
}

// gitlabStages are the stages of GitLab if a file does not name others.
var gitlabStages = []string{"build", "test", "deploy"}

// run runs a job's scripts as GitLab's runner does: as one script for the shell of the image, here dash, on an empty disk.
// Without Nix, the job sees an empty /nix.
func (j gitlabJob) run(t *testing.T, p person, workspace string, variables map[string]string, withNix bool) result {
	t.Helper()
	home := p.scratch(t)
	env := []string{"HOME=" + home, "TMPDIR=" + home, "CI=true", "CI_PROJECT_DIR=" + workspace}
	for _, m := range []map[string]string{j.Variables, variables} {
		for name, value := range m {
			env = append(env, name+"="+value)
		}
	}
	lines := strings.Join(slices.Concat(j.BeforeScript, j.Script), "\n")
	args := []string{"-e", "-c", lines}
	if withNix {
		return try(t, p.with(env...).command(workspace, "sh", args...))
	}
	return try(t, p.with(env...).without("/nix", workspace, "sh", args...))
}

// TestRecipeGitLab runs both jobs: the first with Nix, the second on a machine that has no /nix, where only the artifact is.
func TestRecipeGitLab(t *testing.T) {
	var jobs map[string]gitlabJob
	readYAML(t, recipe("gitlab.yml"), &jobs)
	if diff := cmp.Diff([]string{"image", "packages"}, slices.Sorted(maps.Keys(jobs))); diff != "" {
		t.Fatalf("jobs (-want +got):\n%s", diff)
	}
	for name, j := range jobs {
		if len(j.Script) == 0 || !slices.Contains(gitlabStages, j.Stage) || j.Image == nil {
			t.Errorf("%s is %+v", name, j)
		}
	}
	release, registry := serveRelease(t, recipeVersion), startRecipeRegistry(t)
	daemon := make(map[string]string)
	for _, line := range startNixDaemon(t) {
		name, value, _ := strings.Cut(line, "=")
		daemon[name] = value
	}
	secret, public := signingKey(t, "images-1")
	// A protected variable is a file that other users cannot read.
	keyFile := filepath.Join(lab.user.scratch(t), "CACHE_KEY")
	writeFile(t, keyFile, readFile(t, secret))
	if err := lab.user.own(filepath.Dir(keyFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}

	// build runs the first job, once for each message, and returns a directory with its artifacts.
	built := make(map[string]string)
	build := func(t *testing.T, message string) string {
		t.Helper()
		if dir, ok := built[message]; ok {
			return dir
		}
		workspace, dir := packages(t, message, 0), lab.user.scratch(t)
		if r := jobs["packages"].run(t, lab.user, workspace, daemon, true); r.status() != 0 {
			t.Fatalf("%v", r)
		}
		for _, file := range jobs["packages"].Artifacts.Paths {
			do(t, lab.user.command(workspace, "cp", file, dir))
		}
		writeFile(t, filepath.Join(dir, "cache.pub"), readFile(t, public))
		built[message] = dir
		return dir
	}
	// pipeline runs both jobs for a branch and returns the result of the second.
	pipeline := func(t *testing.T, branch, message string, more map[string]string) (r result, writes []string, traffic int64) {
		t.Helper()
		workspace := build(t, message)
		variables := map[string]string{
			"CI_COMMIT_REF_SLUG": branch, "CI_COMMIT_SHA": "commit-" + message,
			"EXPORT_PROFILE_URL": release.url + "/" + recipeVersion, "EXPORT_PROFILE_SHA256": release.program,
			"CI_REGISTRY": registry.address, "CI_REGISTRY_IMAGE": registry.address + "/team/hello",
			"CI_REGISTRY_USER": writer, "CI_REGISTRY_PASSWORD": writerPassword, "CI_COMMIT_REF_PROTECTED": "false",
		}
		if branch == "main" {
			variables["CI_COMMIT_REF_PROTECTED"], variables["CACHE_KEY"] = "true", keyFile
		}
		maps.Copy(variables, more)
		job := jobs["image"]
		for name := range job.Variables {
			if _, ok := variables[name]; !ok {
				t.Errorf("the test does not know the variable %s", name)
			}
		}
		job.Script = append([]string{fmt.Sprintf("export PATH=%q:\"$PATH\"", debugged(t))}, job.Script...)
		writes, traffic = registry.run(func() { r = job.run(t, lab.user, workspace, variables, false) })
		for _, word := range []string{writerPassword, strings.TrimSpace(readFile(t, secret))} {
			if strings.Contains(r.stdout+r.stderr, word) {
				t.Errorf("%v\nprints a secret", r)
			}
		}
		return r, writes, traffic
	}
	digestIn := func(r result) string {
		t.Helper()
		if r.status() != 0 {
			t.Fatalf("%v", r)
		}
		lines := strings.Fields(r.stdout)
		return lines[len(lines)-1]
	}

	first, _, _ := pipeline(t, "main", "one", nil)
	digest := digestIn(first)
	wantBuilt(t, first.stderr, 20, 100)
	for _, tag := range []string{"commit-one", "latest"} {
		if pushed := checkPushed(t, registry.open, "team/hello", tag); pushed != digest {
			t.Errorf("the job prints %s; the registry has %s as %s", digest, pushed, tag)
		}
	}
	second, writes, traffic := pipeline(t, "main", "two", nil)
	digest = digestIn(second)
	wantBuilt(t, second.stderr, 1, 2)
	if strings.Contains(second.stderr, "layers: 0 kept") || traffic > 1<<20 || !slices.ContainsFunc(writes, isCacheWrite) {
		t.Errorf("%d bytes on the wire, and the requests that write are %q: %v", traffic, writes, second)
	}
	if pushed := checkPushed(t, registry.open, "team/hello", "latest"); pushed != digest {
		t.Errorf("the job prints %s; the registry has %s", digest, pushed)
	}

	// Other branches may write into the registry, but have no key.
	for _, message := range []string{"two", "three"} {
		r, writes, traffic := pipeline(t, "topic", message, nil)
		digest := digestIn(r)
		if message == "two" {
			wantBuilt(t, r.stderr, 0, 0)
		} else {
			wantBuilt(t, r.stderr, 1, 2)
		}
		if slices.ContainsFunc(writes, isCacheWrite) || traffic > 1<<20 {
			t.Errorf("%d bytes on the wire, and the requests that write are %q", traffic, writes)
		}
		if pushed := checkPushed(t, registry.open, "team/hello/review", "topic"); pushed != digest {
			t.Errorf("the job prints %s; the registry has %s", digest, pushed)
		}
		if message == "three" {
			wantHello(t, "docker://"+registry.open+"/team/hello/review:topic", message)
		}
	}
	if pushed := checkPushed(t, registry.open, "team/hello", "latest"); pushed != digest {
		t.Errorf("another branch moved the tag latest to %s", pushed)
	}

	for _, sum := range []string{jobs["image"].Variables["EXPORT_PROFILE_SHA256"], strings.Repeat("0", 64)} {
		r, writes, traffic := pipeline(t, "main", "two", map[string]string{"EXPORT_PROFILE_SHA256": sum})
		if r.status() == 0 || len(writes) > 0 || traffic > 0 || strings.Contains(r.stderr, "export-profile:") {
			t.Errorf("with the checksum %q, %d bytes on the wire: %v; want a job that fails before it runs the program", sum, traffic, r)
		}
	}
}
