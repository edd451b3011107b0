package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recipe returns the path of a recipe for CI.
func recipe(name string) string { return filepath.Join(lab.repo, ".github/recipes", name) }

// recipeVersion is the version that the recipes install.
const recipeVersion = "v0.1.0"

// TestRecipeVersion checks that the recipes, the action and the texts about them name the same release.
func TestRecipeVersion(t *testing.T) {
	named := regexp.MustCompile(`(?:/setup@|/export-profile:|/download/|\bversion:? )(v[0-9]+\.[0-9]+\.[0-9]+)`)
	for _, file := range []string{
		".github/recipes/github.yml", ".github/recipes/gitlab.yml", ".github/recipes/tekton.yaml", ".github/recipes/kubernetes.yaml",
		".github/recipes/kubernetes-review.yaml", ".github/actions/setup/action.yml", ".github/actions/setup/install",
		"cmd/export-profile/README.md", "README.md",
	} {
		found := named.FindAllStringSubmatch(readFile(t, filepath.Join(lab.repo, file)), -1)
		for _, m := range found {
			if m[1] != recipeVersion {
				t.Errorf("%s has %q; want version %s", file, m[0], recipeVersion)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s names no release", file)
		}
	}
}

// The logins at a recipeRegistry, and their passwords.
const (
	writer, writerPassword = "writer", "the writer's password"
	reader, readerPassword = "reader", "the reader's password"
)

// recipeRegistry is a registry that needs a login. One login can only read.
type recipeRegistry struct {
	*registryProxy
	open string // the address of the same registry, without logins
}

func startRecipeRegistry(t *testing.T) *recipeRegistry {
	t.Helper()
	r := &recipeRegistry{open: startRegistry(t, "")}
	r.registryProxy = startProxy(t, r.open)
	r.fault = func(w http.ResponseWriter, q *http.Request) bool {
		name, password, _ := q.BasicAuth()
		switch {
		case name == writer && password == writerPassword:
		case name == reader && password == readerPassword && (q.Method == http.MethodGet || q.Method == http.MethodHead):
		case name == reader && password == readerPassword:
			w.WriteHeader(http.StatusForbidden)
			return true
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	}
	return r
}

// run returns what a run sends: the requests that write, and all bytes on the wire.
func (r *recipeRegistry) run(f func()) (writes []string, traffic int64) {
	r.mu.Lock()
	r.writes = nil
	r.mu.Unlock()
	before := r.bytes.Load()
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writes, r.bytes.Load() - before
}

// dockerLogin returns the file that docker login writes.
func (r *recipeRegistry) dockerLogin(login, password string) string {
	return fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.address, base64.StdEncoding.EncodeToString([]byte(login+":"+password)))
}

// debugged makes a program that runs another export-profile, and lets image say what it does with each layer.
// Its directory comes first in PATH.
func debugged(t *testing.T) (dir string) {
	t.Helper()
	dir = lab.user.scratch(t)
	file := filepath.Join(dir, "export-profile")
	writeFile(t, file, `#!/bin/sh
PATH=${PATH#*:}
[ "$1" != image ] || set -- "$@" --debug
exec export-profile "$@"
`)
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// layersBuilt returns the lines of --debug about layers that were built, and how many it has about layers.
func layersBuilt(said string) (built []string, all int) {
	for line := range strings.Lines(said) {
		if strings.Contains(line, ": debug: layer ") {
			all++
			if strings.Contains(line, ": built") {
				built = append(built, line)
			}
		}
	}
	return built, all
}

// wantBuilt checks how many of an image's layers were built.
func wantBuilt(t *testing.T, said string, minimum, maximum int) {
	t.Helper()
	built, all := layersBuilt(said)
	if all == 0 || len(built) < minimum || len(built) > maximum {
		t.Errorf("%d of %d layers were built; want %d to %d:\n%s", len(built), all, minimum, maximum, said)
	}
}

// wantHello checks that an image from a registry without logins, or in a layout, prints a message.
func wantHello(t *testing.T, source, message string) {
	t.Helper()
	p := lab.user
	id := strings.TrimSpace(do(t, p.podman(p.home, "pull", "-q", "--tls-verify=false", source)).stdout)
	if r := podmanRun(t, p, p.home, id, "hello"); r.stdout != message+"\n" {
		t.Errorf("%v\nwant %q", r, message)
	}
}
