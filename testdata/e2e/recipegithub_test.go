package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// workflow is a workflow of GitHub.
type workflow struct {
	Name string
	On   struct {
		Push        struct{ Branches []string }
		PullRequest *struct{} `yaml:"pull_request"`
	}
	Permissions, Env map[string]string
	Jobs             map[string]workflowJob
}

type workflowJob struct {
	If                       string
	RunsOn                   string `yaml:"runs-on"`
	Environment, Concurrency string
	Permissions              map[string]string
	Steps                    []actionStep
}

// TestRecipeGitHub runs the workflow's jobs, step by step, each on a runner with an empty disk.
func TestRecipeGitHub(t *testing.T) {
	var w workflow
	readYAML(t, recipe("github.yml"), &w)
	if w.Name == "" || !slices.Contains(w.On.Push.Branches, "main") || w.Permissions["contents"] != "read" || len(w.Permissions) != 1 {
		t.Errorf("the workflow is %+v", w)
	}
	g := &githubLab{workflow: w, release: serveRelease(t, recipeVersion), registry: startRecipeRegistry(t), nix: startNixDaemon(t)}
	g.secret, g.public = signingKey(t, "images-1")
	// podman, unlike export-profile, takes TLS for granted on this machine, too.
	g.insecure = "[[registry]]\nlocation = \"" + g.registry.address + "\"\ninsecure = true\n"

	first, writes, _ := g.job(t, "push", "image", "one", 0)
	wantBuilt(t, first.stderr, 20, 100)
	digest := strings.TrimSpace(first.stdout)
	for _, tag := range []string{"commit-one", "latest"} {
		if pushed := checkPushed(t, g.registry.open, "team/hello", tag); pushed != digest {
			t.Errorf("the run prints %s; the registry has %s as %s", digest, pushed, tag)
		}
	}
	if !slices.ContainsFunc(writes, isCacheWrite) {
		t.Errorf("the run wrote nothing into the shared cache: %q", writes)
	}

	second, _, traffic := g.job(t, "push", "image", "two", 0)
	wantBuilt(t, second.stderr, 1, 2)
	if !strings.Contains(second.stderr, " 0 rebuilt, ") || strings.Contains(second.stderr, "layers: 0 kept") || traffic > 1<<20 {
		t.Errorf("%d bytes on the wire: %v", traffic, second)
	}
	wantHello(t, "docker://"+g.registry.open+"/team/hello:latest", "two")

	for _, tt := range []struct {
		name, message string
		size, built   int
		status        int
	}{
		{"nothing changed", "two", 0, 0, 0},
		{"a package changed", "three", 0, 2, 0},
		{"a package grew", "four", 20 << 20, 2, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, writes, _ := g.job(t, "pull_request", "review", tt.message, tt.size)
			if r.status() != tt.status || len(writes) > 0 {
				t.Errorf("the requests that write are %q: %v; want none, and status %d", writes, r, tt.status)
			}
			wantBuilt(t, g.said, min(tt.built, 1), tt.built)
			if _, err := os.Stat(filepath.Join(g.workspace, "image/index.json")); err != nil {
				t.Error(err)
			}
			if tt.message == "three" {
				wantHello(t, "oci:"+g.workspace+"/image", tt.message)
			}
		})
	}
}

// isCacheWrite tells whether a request writes into the shared cache.
func isCacheWrite(request string) bool { return strings.Contains(request, " /v2/team/hello/cache/") }

// githubLab has what the workflow needs.
type githubLab struct {
	workflow       workflow
	release        *releaseServer
	registry       *recipeRegistry
	nix            []string // environment
	secret, public string   // files with the keys of the shared cache
	insecure       string   // registries.conf

	workspace, said string // of the last job
}

// job runs the only job that an event starts. It returns the result of the last step.
func (g *githubLab) job(t *testing.T, event, want, message string, size int) (last result, writes []string, traffic int64) {
	t.Helper()
	g.workspace = packages(t, message, size)
	if err := os.Mkdir(filepath.Join(g.workspace, ".github"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(g.workspace, ".github/cache.pub"), readFile(t, g.public))

	r := newRunner(t, g.workspace, map[string]string{
		"github.event_name": event, "github.job": want, "github.run_id": "1", "github.run_attempt": "1", "strategy.job-index": "0",
		"github.token": readerPassword, "secrets.CACHE_KEY": strings.TrimSpace(readFile(t, g.secret)),
	}, map[string]string{})
	login := reader
	var started []string
	for name, j := range g.workflow.Jobs {
		if r.evaluate(t, j.If) == "true" {
			started = append(started, name)
		}
		if !strings.HasPrefix(j.RunsOn, "ubuntu-") {
			t.Errorf("%s runs on %q", name, j.RunsOn)
		}
	}
	if diff := cmp.Diff([]string{want}, started); diff != "" {
		t.Fatalf("jobs for %s (-want +got):\n%s", event, diff)
	}
	job := g.workflow.Jobs[want]
	if job.Permissions["packages"] == "write" {
		login, r.contexts["github.token"] = writer, writerPassword
	}
	// A secret of an environment is only for the jobs that name it.
	if job.Environment == "" {
		delete(r.contexts, "secrets.CACHE_KEY")
	}
	r.secrets = []string{readerPassword, writerPassword, strings.TrimSpace(readFile(t, g.secret))}
	r.first = debugged(t)
	if err := os.MkdirAll(filepath.Join(r.home, ".config/containers"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(r.home, ".config/containers/registries.conf"), g.insecure)
	if err := lab.user.own(r.home); err != nil {
		t.Fatal(err)
	}

	nothing := func(*testing.T, map[string]string) {}
	r.uses["actions/checkout@v4"] = nothing
	r.uses["cachix/install-nix-action@v31"] = func(*testing.T, map[string]string) { r.person = r.person.with(g.nix...) }
	r.uses["export-profile/export-profile/.github/actions/setup@"+recipeVersion] = func(t *testing.T, with map[string]string) {
		with["url"], with["key"] = g.release.url, g.release.key
		if got := r.use(t, setupDir(), with); got.status() != 0 {
			t.Fatalf("%v", got)
		}
	}
	env := map[string]string{"GITHUB_SHA": "commit-" + message, "GITHUB_ACTOR": login}
	for name, value := range g.workflow.Env {
		env[name] = strings.Replace(value, "ghcr.io/example", g.registry.address+"/team", 1)
		if env[name] == value {
			t.Errorf("the variable %s is %q", name, value)
		}
	}
	writes, traffic = g.registry.run(func() { last = r.steps(t, job.Steps, env) })
	r.end()
	g.said = r.output.String()
	if event == "push" && last.status() != 0 {
		t.Fatalf("%v", last)
	}
	if fi, err := os.Stat(filepath.Join(r.temp, "cache.key")); (err == nil) != (event == "push") || err == nil && fi.Mode().Perm() != 0o600 {
		t.Errorf("for %s the file with the secret key is %v, %v", event, fi, err)
	}
	return last, writes, traffic
}
