package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// startNixDaemon runs Nix's daemon until the test ends, and returns the environment in which Nix uses it.
func startNixDaemon(t *testing.T) []string {
	t.Helper()
	dir := lab.root.scratch(t)
	env := []string{"NIX_REMOTE=daemon", "NIX_DAEMON_SOCKET_PATH=" + filepath.Join(dir, "socket")}
	cmd := nix("nix-daemon")
	cmd.Env = append(cmd.Env, env[1])
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nix-daemon: %s", said.String())
		}
	})
	awaitServer(t, "unix", filepath.Join(dir, "socket"))
	return env
}

// helloPackage is a program that prints a message, beside the lab's profile, which does not change. It has SIZE bytes more.
// For the sleep see debstore-builder.sh.
const helloPackage = `derivation {
  name = "hello-1.0";
  system = builtins.currentSystem;
  profile = builtins.storePath "PROFILE";
  builder = "${builtins.storePath "PROFILE"}/bin/dash";
  args = [ "-c" ''
    PATH=$profile/bin
    mkdir -p $out/bin $out/share
    ln -s $profile/bin/* $out/bin/
    ln -s $profile/etc $out/etc
    printf '%s\n' "#!$profile/bin/dash" 'echo MESSAGE' > $out/bin/hello
    chmod 755 $out/bin/hello
    head -c SIZE /dev/urandom > $out/share/more
    sleep 0.3 &
  '' ];
}
`

// packages writes a repository with a default.nix for such a package, as CI would check it out.
func packages(t *testing.T, message string, size int) (dir string) {
	t.Helper()
	dir = lab.user.scratch(t)
	writeFile(t, filepath.Join(dir, "default.nix"), strings.NewReplacer(
		"PROFILE", lab.object, "MESSAGE", message, "SIZE", fmt.Sprint(size)).Replace(helloPackage))
	if err := lab.user.own(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hellos is a binary cache of one's own with the hello packages, on a server on loopback.
type hellos struct {
	url, key string // the public key's text
	paths    map[string]string

	mu   sync.Mutex
	nars []string // that were requested
}

func serveHellos(t *testing.T, messages ...string) *hellos {
	t.Helper()
	secret, public := signingKey(t, "cache.example.com-1")
	dir := lab.root.scratch(t)
	h := &hellos{key: strings.TrimSpace(readFile(t, public)), paths: make(map[string]string)}
	build := []string{"--no-out-link"}
	for _, message := range messages {
		build = append(build, packages(t, message, 0))
	}
	built := strings.Fields(do(t, nix("nix-build", build...)).stdout)
	for i, message := range messages {
		h.paths[message] = built[i]
	}
	do(t, nix("nix", append([]string{"copy", "--to", "file://" + dir + "?compression=none&secret-key=" + secret}, built...)...))
	files := http.FileServer(http.Dir(dir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/nar/") {
			h.mu.Lock()
			h.nars = append(h.nars, r.URL.Path)
			h.mu.Unlock()
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

// fetched returns how many NARs a run requests.
func (h *hellos) fetched(run func()) int {
	h.mu.Lock()
	h.nars = nil
	h.mu.Unlock()
	run()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.nars)
}
