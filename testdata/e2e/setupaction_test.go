package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// setupDir is the directory of the composite action.
func setupDir() string { return filepath.Join(lab.repo, ".github/actions/setup") }

// releaseServer is an HTTP server on loopback with releases, as they are on GitHub.
type releaseServer struct {
	url, dir string
	key      string // a file with the public key
	sums     string // the SHA-256 of SHA256SUMS
	program  string // the SHA-256 of this machine's program
	cut      string // the name of a file that the server breaks off
}

// serveRelease serves a release with the tests' program, signed with a new key.
func serveRelease(t *testing.T, version string) *releaseServer {
	t.Helper()
	dir := lab.root.scratch(t)
	s := &releaseServer{dir: filepath.Join(dir, version), key: filepath.Join(dir, "release.pub")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var sums strings.Builder
	for _, name := range releaseFiles {
		name = strings.ReplaceAll(name, "0.0.1~test", strings.Replace(version[1:], "-", "~", 1))
		content := name // of files that are not read
		if name == s.name() {
			content = readFile(t, lab.program)
			s.program = fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		}
		if name != "SHA256SUMS" {
			writeFile(t, filepath.Join(s.dir, name), content)
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(content)), name)
		}
	}
	writeFile(t, filepath.Join(s.dir, "SHA256SUMS"), sums.String())
	s.sums = fmt.Sprintf("%x", sha256.Sum256([]byte(sums.String())))
	do(t, lab.root.command(dir, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"))
	do(t, lab.root.command(dir, "openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "release.pub"))
	do(t, lab.root.command(dir, "openssl", "pkeyutl", "-sign", "-rawin", "-inkey", "key.pem",
		"-in", filepath.Join(s.dir, "SHA256SUMS"), "-out", filepath.Join(s.dir, "SHA256SUMS.sig")))
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if filepath.Base(r.URL.Path) == s.cut {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 1000))
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// name returns the name of this machine's program in a release.
func (s *releaseServer) name() string { return "export-profile-linux-" + runtime.GOARCH }

// change replaces a file of the release while a test runs.
func (s *releaseServer) change(t *testing.T, name string, change func(old string) string) {
	t.Helper()
	file := filepath.Join(s.dir, name)
	old := readFile(t, file)
	t.Cleanup(func() { writeFile(t, file, old) })
	writeFile(t, file, change(old))
}

// TestSetupAction runs the composite action as an ordinary user: it installs the right program, and nothing else.
func TestSetupAction(t *testing.T) {
	s := serveRelease(t, releaseVersion)
	_, otherKey := signingPEM(t)
	github := map[string]string{"github.job": "image", "github.run_id": "1", "github.run_attempt": "1", "strategy.job-index": "0"}
	with := func(more ...string) map[string]string {
		m := map[string]string{"version": releaseVersion, "url": s.url, "key": s.key}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	setup := func(t *testing.T, r *runner, with map[string]string) result {
		t.Helper()
		got := r.use(t, setupDir(), with)
		r.end()
		return got
	}

	for _, tt := range []struct {
		name string
		with map[string]string
	}{
		{"by signature", with()},
		{"by the checksum of SHA256SUMS", with("key", "", "sha256", s.sums)},
		{"by the checksum of the program", with("key", "", "sha256", s.program)},
		{"by both", with("sha256", s.sums)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			saved := map[string]string{}
			r := newRunner(t, lab.user.scratch(t), github, saved)
			if got := setup(t, r, tt.with); got.status() != 0 {
				t.Fatalf("%v", got)
			}
			step := actionStep{Run: "command -v export-profile; stat -c %a:%U $(command -v export-profile); export-profile version >&2"}
			dir := filepath.Join(r.temp, "export-profile")
			want := dir + "/export-profile\n755:" + userName + "\n"
			if got := r.run(t, step, nil); got.status() != 0 || got.stdout != want {
				t.Errorf("%v\nwant %q", got, want)
			}
			if diff := cmp.Diff([]string{"export-profile"}, names(t, dir)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", dir, diff)
			}
			if r.contexts["steps.install.outputs.program"] != dir+"/export-profile" {
				t.Errorf("the outputs are in %v", r.contexts)
			}
		})
	}

	t.Run("the key of the project", func(t *testing.T) {
		repository := lab.root.scratch(t)
		action := filepath.Join(repository, ".github/actions")
		if err := os.MkdirAll(action, 0o755); err != nil {
			t.Fatal(err)
		}
		do(t, lab.root.command(repository, "cp", "-R", setupDir(), action))
		for _, key := range []string{s.key, otherKey} {
			writeFile(t, filepath.Join(repository, ".github/release.pub"), readFile(t, key))
			r := newRunner(t, lab.user.scratch(t), github, map[string]string{})
			got := r.use(t, filepath.Join(action, "setup"), with("key", ""))
			if ok := got.status() == 0; ok != (key == s.key) {
				t.Errorf("with the key %s: %v", key, got)
			}
		}
	})

	for _, tt := range []struct {
		name   string
		with   map[string]string
		change func(t *testing.T, r *runner)
		want   string
	}{
		{"another program", with(), func(t *testing.T, _ *runner) {
			s.change(t, s.name(), func(old string) string { return old[:1000] + "x" + old[1001:] })
		}, "SHA256SUMS has " + s.program},
		{"a program cut short", with(), func(t *testing.T, _ *runner) {
			s.change(t, s.name(), func(old string) string { return old[:len(old)/2] })
		}, "SHA256SUMS has " + s.program},
		{"a program whose connection breaks", with(), func(t *testing.T, _ *runner) {
			s.cut = s.name()
			t.Cleanup(func() { s.cut = "" })
		}, "curl: (18)"},
		{"no program", with("url", s.url+"/nowhere"), nil, "curl: (22)"},
		{"another list", with(), func(t *testing.T, _ *runner) {
			s.change(t, "SHA256SUMS", func(old string) string { return old + "\n" })
		}, "the key did not sign it"},
		{"another list, and its checksum", with("key", "", "sha256", s.sums), func(t *testing.T, _ *runner) {
			s.change(t, "SHA256SUMS", func(old string) string { return old + "\n" })
		}, "sha256 is " + s.sums + ", but SHA256SUMS has "},
		{"a signature cut short", with(), func(t *testing.T, _ *runner) {
			s.change(t, "SHA256SUMS.sig", func(old string) string { return old[:len(old)-1] })
		}, "the key did not sign it"},
		{"another key", with("key", otherKey), nil, "the key did not sign it"},
		{"a right checksum and another key", with("key", otherKey, "sha256", s.sums), nil, "the key did not sign it"},
		{"the right key and another checksum", with("sha256", strings.Repeat("0", 64)), nil, "but SHA256SUMS has " + s.sums},
		{"no checksum", with("sha256", "abc"), nil, "want 64 digits"},
		{"a key that is missing", with("key", "nowhere.pub"), nil, `read key "nowhere.pub"`},
		{"a key whose name has a line break", with("key", "no\n::warning::x"), nil, `read key "no`},
		{"an older release", with("version", "v9.9.9"), func(t *testing.T, _ *runner) {
			if err := os.Symlink(releaseVersion, filepath.Join(filepath.Dir(s.dir), "v9.9.9")); err != nil {
				t.Fatal(err)
			}
		}, "is not of version v9.9.9"},
		{"no version", with("version", "latest"), nil, "want one such as v0.1.0"},
		{"a version with a path", with("version", "v1.2.3/../../x"), nil, "want one such as v0.1.0"},
		{"plain HTTP", with("url", "http://example.com/releases"), nil, "want https"},
		{"plain HTTP with a name before it", with("url", "http://localhost:x@example.com/"), nil, "has an @"},
		{"another architecture", with(), func(t *testing.T, r *runner) {
			r.withCommand(t, "uname", "#!/bin/sh\n[ \"$1\" = -s ] && echo Linux || echo sparc64\n")
		}, `architecture "sparc64"`},
		{"another system", with(), func(t *testing.T, r *runner) { r.withCommand(t, "uname", "#!/bin/sh\necho Darwin\n") }, "not on Darwin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t, lab.user.scratch(t), github, map[string]string{})
			if tt.change != nil {
				tt.change(t, r)
			}
			got := r.use(t, setupDir(), tt.with)
			command := "::error title=export-profile::"
			if got.status() != 1 || !strings.Contains(got.stdout, command) || !strings.Contains(got.stdout, tt.want) || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("%v\nwant status 1 and an error with %q", got, tt.want)
			}
			if n := strings.Count(got.stdout, "\n"); n != 1 || strings.Contains(got.stderr, "\n::") {
				t.Errorf("%v\nhas %d lines on standard output; want one, and no command of GitHub on standard error", got, n)
			}
			if r.has("export-profile") {
				t.Error("the program is in PATH")
			}
			if _, err := os.Lstat(filepath.Join(r.temp, "export-profile")); err == nil {
				t.Errorf("the directory is left with %q", names(t, filepath.Join(r.temp, "export-profile")))
			}
		})
	}

	t.Run("the last program stays", func(t *testing.T) {
		r := newRunner(t, lab.user.scratch(t), github, map[string]string{})
		if got := r.use(t, setupDir(), with()); got.status() != 0 {
			t.Fatalf("%v", got)
		}
		s.change(t, s.name(), func(old string) string { return old[:1000] })
		if got := r.use(t, setupDir(), with()); got.status() != 1 {
			t.Fatalf("%v", got)
		}
		if got := readFile(t, filepath.Join(r.temp, "export-profile/export-profile")); fmt.Sprintf("%x", sha256.Sum256([]byte(got))) != s.program {
			t.Error("the program was replaced by one that was refused")
		}
	})
}

// signingPEM returns files with a new secret key and its public key.
func signingPEM(t *testing.T) (secret, public string) {
	t.Helper()
	dir := lab.root.scratch(t)
	do(t, lab.root.command(dir, "openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"))
	do(t, lab.root.command(dir, "openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"))
	return filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
}

// TestSetupActionCache checks that the next run has the cache of the last one, that it is limited, and that a run without it has none.
func TestSetupActionCache(t *testing.T) {
	s := serveRelease(t, releaseVersion)
	saved := map[string]string{}
	job := func(run, size, cache string) (built bool) {
		t.Helper()
		workspace := lab.user.scratch(t)
		r := newRunner(t, workspace, map[string]string{"github.job": "image", "github.run_id": run, "github.run_attempt": "1", "strategy.job-index": "0"}, saved)
		got := r.use(t, setupDir(), map[string]string{"version": releaseVersion, "url": s.url, "key": s.key, "cache-size": size, "cache": cache})
		if got.status() != 0 {
			t.Fatalf("%v", got)
		}
		got = r.run(t, actionStep{Run: "export-profile image --debug --profile " + dash(t) + " oci:image"}, nil)
		if got.status() != 0 {
			t.Fatalf("%v", got)
		}
		r.end()
		return strings.Contains(got.stderr, ": built")
	}
	for _, tt := range []struct {
		run, size, cache string
		built            bool
		saved            int
	}{
		{"101", "1GB", "true", true, 1},
		{"102", "1GB", "true", false, 2},
		{"103", "1GB", "false", true, 2},
		{"104", "10kB", "true", true, 3},
	} {
		if built := job(tt.run, tt.size, tt.cache); built != tt.built || len(saved) != tt.saved {
			t.Errorf("run %s with size %s and cache %s builds layers: %v, and there are %d caches; want %v and %d",
				tt.run, tt.size, tt.cache, built, len(saved), tt.built, tt.saved)
		}
	}
}
