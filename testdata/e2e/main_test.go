// Package e2e tests export-profile from outside, together with the tools that people use with it:
// real Nix with a real store, podman, skopeo, umoci, buildah, containerd, Docker and its registry, and Chromium.
// Some of them are tested in the version of the next Debian too.
//
// The tests need root, since Nix builds as root and some tests mount file systems.
// export-profile and podman run as an ordinary user, and also as root if that matters.
// A missing tool fails a test.
//
//	go test -count=1 -v -timeout 80m ./testdata/e2e
//
// The tests keep Debian packages and Go programs in E2E_DIR (default /var/tmp/export-profile-e2e), and what Nix builds
// from them in /nix/store. So a second run is faster.
package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lab holds the environment of the tests; TestMain sets it up.
var lab struct {
	dir     string // accessible to all users
	repo    string
	program string // export-profile

	root, user person

	profile    string   // a profile link
	object     string   // the store object of the profile
	expression string   // of Nix, from which the profile was built
	closure    []string // of object
	narSize    int64    // of the closure

	objects map[string]string // store paths, by their names in objects.nix

	digests map[string]string // see live
	tools   string            // see tool
}

// userName is the name of the ordinary user, which is created if necessary.
const userName = "export-profile-e2e"

// nixConfig makes Nix build without build users, sandbox and network.
const nixConfig = "substituters =\nsandbox = false\nfilter-syscalls = false\nbuild-users-group =\n" +
	"experimental-features = nix-command\n"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		start := time.Now()
		if err := setUp(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: set up: %v\n", err)
			return 1
		}
		defer tearDown()
		fmt.Printf("e2e: set up in %.0f s: %s has %d store paths, %d MB\n",
			time.Since(start).Seconds(), lab.object, len(lab.closure), lab.narSize/1e6)
		return m.Run()
	}())
}

func setUp() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("not root: Nix, other users and mounts need it")
	}
	syscall.Umask(0o022)
	lab.dir = cmp.Or(os.Getenv("E2E_DIR"), "/var/tmp/export-profile-e2e")
	if lab.repo, err = filepath.Abs("../.."); err != nil {
		return err
	}
	// Remove homes and scratch directories that a killed run left.
	for _, name := range []string{"home", "run", "tmp"} {
		if err := os.RemoveAll(filepath.Join(lab.dir, name)); err != nil {
			return err
		}
	}
	if lab.root, err = makePerson("root"); err != nil {
		return err
	}
	if _, err := user.Lookup(userName); err != nil {
		if _, err := output(exec.Command("useradd", "--no-create-home", "--shell", "/bin/sh", userName)); err != nil {
			return err
		}
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if err := addSubordinate(file); err != nil {
			return err
		}
	}
	if lab.user, err = makePerson(userName); err != nil {
		return err
	}
	if err := buildProgram(); err != nil {
		return err
	}
	return buildStore()
}

func tearDown() {
	// podman leaves a process that keeps its user namespace, and files of subordinate users.
	for _, args := range [][]string{{"system", "reset", "--force"}, {"system", "migrate"}} {
		if _, err := output(lab.user.command(lab.user.home, "podman", args...)); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: tear down: %v\n", err)
		}
	}
	for _, name := range []string{"home", "run", "tmp"} {
		if err := os.RemoveAll(filepath.Join(lab.dir, name)); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: tear down: %v\n", err)
		}
	}
}

// addSubordinate gives the user the subordinate IDs that rootless containers need.
func addSubordinate(file string) error {
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	next := 100000
	for line := range strings.Lines(string(b)) {
		words := strings.Split(strings.TrimSpace(line), ":")
		if words[0] == userName {
			return nil
		}
		if len(words) == 3 {
			first, _ := strconv.Atoi(words[1])
			count, _ := strconv.Atoi(words[2])
			next = max(next, first+count)
		}
	}
	b = fmt.Appendf(b, "%s:%d:65536\n", userName, next)
	return os.WriteFile(file, b, 0o644)
}

func buildProgram() error {
	bin := filepath.Join(lab.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	lab.program = filepath.Join(bin, "export-profile")
	build := exec.Command("go", "build", "-o", lab.program, "./cmd/export-profile")
	build.Dir = lab.repo
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err := output(build)
	return err
}

func buildStore() error {
	work := filepath.Join(lab.dir, "store")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	lab.profile = filepath.Join(work, "profile")
	out, err := output(exec.Command("python3", "debstore.py", lab.profile, work, "curl", "ca-certificates", "dash", "coreutils"))
	if err != nil {
		return err
	}
	lab.object = strings.TrimSpace(out)
	b, err := os.ReadFile(filepath.Join(work, "default.nix")) // other profiles replace it
	if err != nil {
		return err
	}
	lab.expression = string(b)
	if lab.closure, lab.narSize, err = queryClosure(lab.object); err != nil {
		return err
	}
	lab.objects, lab.digests = make(map[string]string), make(map[string]string)
	for _, name := range []string{"odd", "arm"} {
		out, err := output(nix("nix-build", "objects.nix", "-A", name, "--out-link", filepath.Join(work, name)))
		if err != nil {
			return err
		}
		lab.objects[name] = strings.TrimSpace(out)
	}
	return nil
}

func queryClosure(path string) (closure []string, narSize int64, err error) {
	out, err := output(nix("nix-store", "-qR", path))
	if err != nil {
		return nil, 0, err
	}
	closure = strings.Fields(out)
	out, err = output(nix("nix-store", append([]string{"-q", "--size"}, closure...)...))
	if err != nil {
		return nil, 0, err
	}
	for _, size := range strings.Fields(out) {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			return nil, 0, err
		}
		narSize += n
	}
	return closure, narSize, nil
}

// nix returns a command of Nix that root runs.
func nix(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "NIX_CONFIG="+nixConfig)
	return cmd
}

// output runs a command and returns its standard output. The error contains its standard error.
func output(cmd *exec.Cmd) (string, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%q: %w\n%s", cmd.Args, err, stderr.String())
	}
	return string(out), nil
}
