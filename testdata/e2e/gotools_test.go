package e2e

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// goTools are programs that no Debian has in the version that these tests need.
var goTools = map[string]string{
	"cosign": "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3", // takes minutes
	"crane":  "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
	"grype":  "github.com/anchore/grype/cmd/grype@v0.121.3", // takes minutes; syft shares most packages
	"syft":   "github.com/anchore/syft/cmd/syft@v1.57.1",
	"umoci":  "github.com/opencontainers/umoci/cmd/umoci@v0.6.0",
}

// goTool builds a program of goTools, and returns its file. The program is kept for later runs.
func goTool(t *testing.T, name string) string {
	t.Helper()
	pkg, version, _ := strings.Cut(goTools[name], "@")
	return goBuild(t, name, pkg, version, "")
}

// goBuild builds a package of a module, or a program that uses it.
func goBuild(t *testing.T, name, pkg, version, main string) string {
	t.Helper()
	dir := filepath.Join(lab.dir, "go-tools", name+"-"+version)
	program := filepath.Join(dir, path.Base(pkg))
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// A module of its own ignores the program's replace directives, for which "go install" refuses it.
	writeFile(t, filepath.Join(dir, "go.mod"), "module tools\n\ngo 1.26\n")
	built := pkg
	if main != "" {
		writeFile(t, filepath.Join(dir, "main.go"), main)
		built = "."
	}
	for _, args := range [][]string{{"get", pkg + "@" + version}, {"build", "-o", program + ".new", built}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if _, err := output(cmd); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	return program
}
