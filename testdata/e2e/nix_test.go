package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// flakes is the configuration of Nix with flakes. Derivations that use this machine's Go say that they need no sandbox.
const flakes = "substituters =\nsandbox = relaxed\nsandbox-fallback = false\nfilter-syscalls = false\nbuild-users-group =\n" +
	"experimental-features = nix-command flakes\n"

// nixUser has what a user of .github/nix has: nixpkgs (the stand-in in nixpkgs), a clone of this repository, and a flake.
type nixUser struct {
	nixpkgs, clone, flake string
	commit                string // of the clone
	run                   func(name string, args ...string) *exec.Cmd
}

// newNixUser makes the files. The flake is the one in the manual.
func newNixUser(t *testing.T) *nixUser {
	t.Helper()
	root := lab.root.with("NIX_CONFIG=" + flakes)
	top := lab.root.scratch(t)
	u := &nixUser{nixpkgs: top + "/nixpkgs", clone: top + "/clone", flake: top + "/flake"}
	u.run = func(name string, args ...string) *exec.Cmd { return root.command(top, name, args...) }

	do(t, exec.Command("cp", "-r", lab.repo+"/testdata/e2e/nixpkgs", u.nixpkgs))
	work := filepath.Join(lab.dir, "store")
	profile := strings.TrimSpace(do(t, exec.Command("python3", lab.repo+"/testdata/e2e/debstore.py", work+"/nixpkgs", work,
		"bash", "coreutils", "curl", "ca-certificates")).stdout)
	var machine strings.Builder
	machine.WriteString("let object = path: { outPath = builtins.appendContext path { ${path}.path = true; }; };\nin {\n")
	for name, file := range map[string]string{
		"bash": "bin/bash", "coreutils": "bin/ls", "curl": "bin/curl", "cacert": "etc/ssl/certs/ca-bundle.crt",
	} {
		fmt.Fprintf(&machine, "  %s = object %q;\n", name, objectOf(t, profile, file))
	}
	env := strings.Fields(do(t, exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE")).stdout)
	fmt.Fprintf(&machine, "  go = { version = %q; GOARCH = %q; root = %q; modules = %q; cache = %q; };\n}\n",
		strings.TrimPrefix(runtime.Version(), "go"), runtime.GOARCH, env[0], env[1], env[2])
	writeFile(t, u.nixpkgs+"/machine.nix", machine.String())

	if err := os.MkdirAll(u.clone, 0o755); err != nil {
		t.Fatal(err)
	}
	do(t, exec.Command("sh", "-c", `cd "$1" && cp -r --parents go.mod go.sum LICENSE README.md .github cmd ocilayout profile rootfs "$2"`, "sh", lab.repo, u.clone))
	git := func(args ...string) string {
		cmd := u.run("git", append([]string{"-C", u.clone, "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"}, args...)...)
		// The same sources have the same commit, so that Nix need not build them again.
		cmd.Env = append(cmd.Env, "GIT_AUTHOR_DATE=2027-01-31T12:00:00Z", "GIT_COMMITTER_DATE=2027-01-31T12:00:00Z")
		return do(t, cmd).stdout
	}
	git("init", "-q")
	git("add", "--all")
	git("commit", "-q", "-m", "sources")
	u.commit = strings.TrimSpace(git("rev-parse", "HEAD"))

	manual := readFile(t, lab.repo+"/cmd/export-profile/README.md")
	m := regexp.MustCompile("(?s)\n```nix\n(.*?)```\n").FindStringSubmatch(manual)
	if m == nil {
		t.Fatal("the manual has no flake.nix")
	}
	if err := os.MkdirAll(u.flake, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, u.flake+"/flake.nix", m[1])
	writeFile(t, u.flake+"/page.html", "hello from a page\n")
	return u
}

// objectOf returns the store path that has a file of a profile.
func objectOf(t *testing.T, profile, file string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(profile, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Split(path, "/")[:4], "/")
}

// inputs override the flake's inputs, which are on the network.
func (u *nixUser) inputs() []string {
	return []string{
		"--no-write-lock-file", "--override-input", "nixpkgs", "path:" + u.nixpkgs,
		"--override-input", "export-profile", "git+file://" + u.clone + "?dir=.github/nix",
	}
}

// build builds an attribute of the flake and returns its output.
func (u *nixUser) build(t *testing.T, attribute string, options ...string) string {
	t.Helper()
	link := lab.root.scratch(t) + "/result"
	do(t, u.run("nix", slices.Concat([]string{"build", "path:" + u.flake + "#" + attribute, "--out-link", link}, u.inputs(), options)...))
	return strings.TrimSpace(do(t, u.run("readlink", "-f", link)).stdout)
}

// expression returns a command of Nix with an attribute of images.nix.
func (u *nixUser) expression(command, attribute string, options ...string) *exec.Cmd {
	return u.run(command, slices.Concat([]string{lab.repo + "/testdata/e2e/images.nix", "-A", attribute,
		"--arg", "nixpkgs", u.nixpkgs, "--arg", "source", u.clone}, options)...)
}

// old builds an attribute of images.nix and returns its output.
func (u *nixUser) old(t *testing.T, attribute string, options ...string) string {
	t.Helper()
	return strings.TrimSpace(do(t, u.expression("nix-build", attribute, append(options, "--no-out-link")...)).stdout)
}

// outside makes the image of the manual with the command.
func (u *nixUser) outside(t *testing.T) (digest string) {
	t.Helper()
	p := lab.user
	profile := filepath.Join(lab.dir, "store/nixpkgs")
	return p.export(t, p.scratch(t), "image", "--no-cache", "--compression", "zstd",
		"--profile", objectOf(t, profile, "bin/curl"), "--profile", objectOf(t, profile, "etc/ssl/certs/ca-bundle.crt"),
		"--add", u.flake+"/page.html:/srv/page.html", "--mkdir", "/var/lib/web:0750:1000", "--user", "web:1000",
		"--cmd", `["curl", "--silent", "file:///srv/page.html"]`, "--expose", "8080/tcp", "oci:web:v1")
}

// TestNix checks the flake in .github/nix, and what it makes in a sandbox, with this Debian's Nix and that of the next Debian.
func TestNix(t *testing.T) {
	u := newNixUser(t)
	want := u.outside(t)
	var layout string
	t.Run("flake", func(t *testing.T) {
		layout = u.build(t, "web")
		wantLayout(t, layout, map[string]string{"v1": want})
		u.build(t, "web", "--rebuild") // fails if the bytes differ
	})
	t.Run("package", func(t *testing.T) { testNixPackage(t, u, layout) })
	t.Run("newer", func(t *testing.T) { testNixNewer(t, u, layout) })
	t.Run("copyTo", func(t *testing.T) { testNixCopyTo(t, u, want) })
	t.Run("without flakes", func(t *testing.T) { testNixExpression(t, u) })
	t.Run("mentioned", func(t *testing.T) { testNixMentioned(t, u) })
	t.Run("docker", func(t *testing.T) { testNixDocker(t, u) })
	t.Run("mistakes", func(t *testing.T) { testNixMistakes(t, u) })

	// The vendored modules have 240 MB, and another path after each change.
	modules, err := filepath.Glob("/nix/store/*-export-profile-*-go-modules")
	if err != nil {
		t.Fatal(err)
	}
	do(t, nix("nix-store", append([]string{"--delete"}, modules...)...))
}

// testNixPackage checks the program that built an image, what else is in its package, and the flake's app.
func testNixPackage(t *testing.T, u *nixUser, layout string) {
	program := u.programOf(t, layout)
	r := do(t, exec.Command(program+"/bin/export-profile", "version", "--json"))
	var version struct{ Version, Commit, Compressor string }
	if err := json.Unmarshal([]byte(r.stdout), &version); err != nil || version.Compressor == "" ||
		version.Commit != u.commit[:12] || version.Version != "v0.0.0-20270131120000-"+version.Commit {
		t.Errorf("%v\nwant a version of the commit %s, and a compressor", r, u.commit)
	}
	for _, name := range []string{
		"share/man/man1/export-profile.1", "share/bash-completion/completions/export-profile.bash",
		"share/fish/vendor_completions.d/export-profile.fish", "share/zsh/site-functions/_export-profile",
	} {
		if fi, err := os.Stat(program + "/" + name); err != nil || fi.Size() < 1000 {
			t.Errorf("the package has no %s: %v", name, err)
		}
	}
	// A flake whose inputs the command line overrides has no commit, so this is another derivation of the same program.
	system := strings.TrimSpace(do(t, u.run("nix", "eval", "--raw", "--impure", "--expr", "builtins.currentSystem")).stdout)
	app := do(t, u.run("nix", "eval", "--json", "git+file://"+u.clone+"?dir=.github/nix#apps."+system+".default",
		"--no-write-lock-file", "--override-input", "nixpkgs", "path:"+u.nixpkgs))
	if !regexp.MustCompile(`^\{"program":"/nix/store/[^/]*-export-profile-[^/]*/bin/export-profile","type":"app"\}\s*$`).MatchString(app.stdout) {
		t.Errorf("%v\nwant an app", app)
	}
	do(t, u.run("nix-instantiate", "-I", "nixpkgs="+u.nixpkgs, u.clone+"/.github/nix", "-A", "export-profile"))
	if r := try(t, exec.Command("ldd", program+"/bin/export-profile")); r.status() == 0 {
		t.Errorf("%v\nwant no dynamic executable", r)
	}
}

// testNixNewer builds the same image with a newer Nix in another store, which already has the packages and the program.
func testNixNewer(t *testing.T, u *nixUser, layout string) {
	m := startMachine(t, trixie, "sleep", "infinity")
	do(t, m.command("mkdir", "-p", "/nix"))
	do(t, m.command("mount", "-t", "tmpfs", "-o", "mode=0755", "none", "/nix"))
	u = &nixUser{nixpkgs: u.nixpkgs, clone: u.clone, flake: u.flake}
	u.run = func(name string, args ...string) *exec.Cmd {
		cmd := m.command(name, args...)
		cmd.Env = append(slices.Clone(m.env), "NIX_CONFIG="+flakes, "HOME=/run")
		return cmd
	}
	if r := do(t, u.run("nix", "--version")); !strings.Contains(r.stdout, " 2.26.") {
		t.Errorf("%v\nwant 2.26", r)
	}
	program := u.programOf(t, layout)
	inputs := closureOf(t, program)
	inputs = append(inputs, closureOf(t, filepath.Join(lab.dir, "store/nixpkgs"))...)
	slices.Sort(inputs)
	pipeInto(t, nix("nix-store", append([]string{"--export"}, slices.Compact(inputs)...)...), u.run("nix-store", "--import"))

	if got := u.build(t, "web"); got != layout {
		t.Errorf("the newer Nix writes the image to %s, and the other one to %s", got, layout)
	}
	// Build as another user, who has no name.
	nameless := []string{"--extra-experimental-features", "auto-allocate-uids", "--option", "auto-allocate-uids", "true"}
	u.build(t, "web", append(nameless, "--rebuild")...)
	uids := do(t, u.run("nix-build", append(nameless, "--no-out-link", "-E",
		`with import `+u.nixpkgs+` { }; runCommand "uids" { } "while read -r inside outside count; do echo $outside; done < /proc/self/uid_map > $out"`)...))
	if r := do(t, u.run("cat", strings.TrimSpace(uids.stdout))); len(strings.TrimSpace(r.stdout)) < 6 {
		t.Errorf("%v\nwant a large UID outside of the sandbox", r)
	}
	if r := do(t, u.run("nix-store", "-q", "--references", layout)); r.stdout != "" {
		t.Errorf("%v\nwant no references", r)
	}
	got := do(t, u.run("nix-store", "-q", "--hash", layout)).stdout
	if want := do(t, nix("nix-store", "-q", "--hash", layout)).stdout; got != want {
		t.Errorf("the newer Nix builds %s with the hash %s; want that of the other one, %s", layout, got, want)
	}
	do(t, u.run("nix", "flake", "check", "--no-build", "--all-systems", "--no-write-lock-file", "--override-input", "nixpkgs", "path:"+u.nixpkgs,
		"git+file://"+u.clone+"?dir=.github/nix"))
}

// programOf returns the store path of the program that built an image.
func (u *nixUser) programOf(t *testing.T, layout string) string {
	t.Helper()
	deriver := strings.TrimSpace(do(t, nix("nix-store", "-q", "--deriver", layout)).stdout)
	for _, p := range strings.Fields(do(t, nix("nix-store", "-q", "--references", deriver)).stdout) {
		if strings.Contains(p, "-export-profile-") {
			return strings.TrimSpace(do(t, nix("nix-store", "-q", "--outputs", p)).stdout)
		}
	}
	t.Fatalf("%s was not built with export-profile", deriver)
	return ""
}
