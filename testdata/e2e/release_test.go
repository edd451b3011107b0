package e2e

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// releaseVersion is the version of the releases that the tests make.
const releaseVersion = "v0.0.1-test"

// releaseFiles lists the files of such a release.
var releaseFiles = []string{
	"LICENCES",
	"SHA256SUMS",
	"export-profile-0.0.1~test-1.aarch64.rpm", "export-profile-0.0.1~test-1.riscv64.rpm", "export-profile-0.0.1~test-1.x86_64.rpm",
	"export-profile-image.digest", "export-profile-image.tar",
	"export-profile-linux-amd64", "export-profile-linux-amd64.cdx.json",
	"export-profile-linux-arm64", "export-profile-linux-arm64.cdx.json",
	"export-profile-linux-riscv64", "export-profile-linux-riscv64.cdx.json",
	"export-profile_0.0.1~test_amd64.deb", "export-profile_0.0.1~test_arm64.deb", "export-profile_0.0.1~test_riscv64.deb",
}

// TestRelease makes a release in two directories, as two users with different settings and caches. It checks that all files are equal,
// and that they can be verified and installed as the README says.
func TestRelease(t *testing.T) {
	dir := lab.root.scratch(t)
	key := filepath.Join(dir, "key.pem")
	do(t, lab.root.command(dir, "openssl", "genpkey", "-algorithm", "ed25519", "-out", key))
	public := do(t, lab.root.command(dir, "openssl", "pkey", "-in", key, "-pubout")).stdout

	root, user := goUser(t, lab.root), goUser(t, lab.user).with("TZ=Pacific/Auckland", "LC_ALL=C", "GOAMD64=v3", "GOFLAGS=-tags=other")
	repository, other := copyRepository(t, root, public), copyRepository(t, user, public)
	release(t, root, repository, "build", releaseVersion, "../out")
	do(t, in("umask 077", releaseCommand(user, other, "build", releaseVersion, "../other")))
	out := filepath.Join(filepath.Dir(repository), "out")
	if diff := cmp.Diff(releaseFiles, names(t, out)); diff != "" {
		t.Errorf("files of the release (-want +got):\n%s", diff)
	}
	do(t, root.command(dir, "diff", "-r", out, filepath.Join(filepath.Dir(other), "other")))

	release(t, root, repository, "sign", key, "../out") // the image, too, in a file beside it
	t.Run("README", func(t *testing.T) { checkReleaseSignature(t, root, out, public) })
	t.Run("binaries", func(t *testing.T) { checkReleaseBinaries(t, out) })
	t.Run("deb", func(t *testing.T) { checkDeb(t, out) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, out) })
	t.Run("image", func(t *testing.T) { checkReleaseImage(t, root, repository, out) })
	t.Run("run", func(t *testing.T) { runReleaseImage(t, out) })
	t.Run("push", func(t *testing.T) { pushRelease(t, root, repository, out) })
	t.Run("refused", func(t *testing.T) { checkReleaseRefused(t, root, repository, key) })
}

// goUser returns a person who can run the go command. The ordinary user has caches of their own, which are kept for later runs.
func goUser(t *testing.T, p person) person {
	t.Helper()
	env := map[string]string{}
	for _, name := range []string{"GOROOT", "GOPROXY", "GOSUMDB", "GOCACHE", "GOMODCACHE"} {
		env[name] = strings.TrimSpace(do(t, exec.Command("go", "env", name)).stdout)
	}
	if p.uid != 0 {
		caches := filepath.Join(lab.dir, "release")
		if err := os.MkdirAll(caches, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(caches, int(p.uid), int(p.gid)); err != nil {
			t.Fatal(err)
		}
		env["GOCACHE"], env["GOMODCACHE"] = filepath.Join(caches, "build"), filepath.Join(caches, "modules")
	}
	p = p.with("PATH="+filepath.Join(env["GOROOT"], "bin")+":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		"GOPROXY="+env["GOPROXY"], "GOSUMDB="+env["GOSUMDB"], "GOCACHE="+env["GOCACHE"], "GOMODCACHE="+env["GOMODCACHE"])
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"} {
		if value, ok := os.LookupEnv(name); ok {
			p = p.with(name + "=" + value)
		}
	}
	return p
}

// copyRepository copies this repository and commits a release of it: its changelog, and the public key.
func copyRepository(t *testing.T, p person, public string) string {
	t.Helper()
	dir := filepath.Join(p.scratch(t), "repository")
	do(t, exec.Command("cp", "-R", lab.repo, dir))
	changelog := filepath.Join(dir, ".github/CHANGELOG.md")
	b, err := os.ReadFile(changelog)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), "\n## ")
	if !ok {
		t.Fatalf("%s has no entry", changelog)
	}
	writeFile(t, changelog, head+"\n## "+releaseVersion+" (a day)\n\n- The last change.\n\n## "+rest)
	writeFile(t, filepath.Join(dir, ".github/release.pub"), public)
	if err := p.own(dir); err != nil {
		t.Fatal(err)
	}
	p = p.with("GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	do(t, p.command(dir, "git", "add", "--all"))
	do(t, p.command(dir, "git", "commit", "--quiet", "--message", "a release"))
	return dir
}

func releaseCommand(p person, repository string, args ...string) *exec.Cmd {
	return p.command(repository, "bash", append([]string{".ci/release"}, args...)...)
}

func release(t *testing.T, p person, repository string, args ...string) result {
	t.Helper()
	return do(t, releaseCommand(p, repository, args...))
}

// checkReleaseSignature runs the commands with which the README verifies a release, also on changed files.
func checkReleaseSignature(t *testing.T, p person, out, public string) {
	writeFile(t, filepath.Join(out, "release.pub"), public)
	defer os.Remove(filepath.Join(out, "release.pub"))
	readme, err := os.ReadFile(filepath.Join(lab.repo, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(string(readme)) {
		if command := strings.TrimPrefix(line, "    "); strings.HasPrefix(command, "openssl pkeyutl ") || strings.HasPrefix(command, "sha256sum ") {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	if len(commands) != 2 {
		t.Fatalf("README.md verifies a release with %q; want 2 commands", commands)
	}
	for i, name := range []string{"SHA256SUMS", "export-profile-linux-amd64"} {
		do(t, p.command(out, "sh", "-c", commands[i]))
		file := filepath.Join(out, name)
		do(t, p.command(out, "cp", "-p", name, "kept"))
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if r := try(t, p.command(out, "sh", "-c", commands[i])); r.status() == 0 {
			t.Errorf("%v\nwant an error: %s was changed", r, name)
		}
		do(t, p.command(out, "mv", "kept", name))
	}
}

// checkReleaseBinaries checks what the binaries and their SBOMs say of themselves.
func checkReleaseBinaries(t *testing.T, out string) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "riscv64": elf.EM_RISCV} {
		file := filepath.Join(out, "export-profile-linux-"+arch)
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		interpreted := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		f.Close()
		if f.Machine != machine || interpreted {
			t.Errorf("%s is for %v, dynamic %v; want static, for %v", file, f.Machine, interpreted, machine)
		}
		info, err := buildinfo.ReadFile(file)
		if err != nil || info.Main.Version != releaseVersion || info.Main.Sum == "" {
			t.Fatalf("%s is built from %+v, %v; want %s with a hash", file, info, err, releaseVersion)
		}
		var sbom struct {
			Components []struct{ Name, Version string }
		}
		b, err := os.ReadFile(file + ".cdx.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &sbom); err != nil {
			t.Fatal(err)
		}
		want, got := []string{"std " + info.GoVersion}, []string(nil)
		for _, m := range info.Deps {
			want = append(want, m.Path+" "+m.Version)
		}
		for _, c := range sbom.Components {
			got = append(got, c.Name+" "+c.Version)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("components in the SBOM of %s (-want +got):\n%s", arch, diff)
		}
	}
}

// inCopy is a shell script that runs a script in a copy of this machine's Debian. The copy is in memory and disappears afterwards.
const inCopy = `set -eu
mount -t tmpfs none "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work none root
mount --bind /proc root/proc
mount --bind /dev root/dev
cp "$2" root/tmp/export-profile.deb
exec chroot root sh -euc "$3"
`

// checkDeb installs the package in a copy of this machine's Debian, where the program, its manual page and completions must be found.
func checkDeb(t *testing.T, out string) {
	arch := strings.TrimSpace(do(t, exec.Command("dpkg", "--print-architecture")).stdout)
	dir := lab.root.scratch(t)
	deb := filepath.Join(out, "export-profile_0.0.1~test_"+arch+".deb")
	r := do(t, lab.root.command("/", "unshare", "--mount", "sh", "-c", inCopy, "sh", dir, deb, `
dpkg --install /tmp/export-profile.deb >&2
dpkg --verify export-profile
export-profile version | head -n1
MANWIDTH=120 man export-profile | sed -n 's/^ *\(export-profile —.*\)/\1/p'
bash -c '. /usr/share/bash-completion/completions/export-profile; complete -p export-profile'
fish -c 'complete -C "export-profile versi"'
zsh -fc 'autoload -U compinit; compinit -D -u; echo $_comps[export-profile]'
grep -m1 -o 'Apache License' /usr/share/doc/export-profile/copyright
zcat /usr/share/doc/export-profile/changelog.gz | grep '^## ' | head -n1
dpkg --remove export-profile >&2
test ! -e /usr/bin/export-profile
`))
	want := `export-profile ` + releaseVersion + `
export-profile — make root filesystems and OCI images from profiles of Nix and Guix
complete -o default -F _export_profile export-profile
version	print the version of this program
_export-profile
Apache License
## ` + releaseVersion + ` (a day)
`
	if diff := cmp.Diff(want, r.stdout); diff != "" {
		t.Errorf("with the package (-want +got):\n%s", diff)
	}
}

// checkRPM checks what is in the package, and that its program is the one of the release.
func checkRPM(t *testing.T, out string) {
	file := filepath.Join(out, "export-profile-0.0.1~test-1.x86_64.rpm")
	got := strings.Fields(do(t, lab.root.command("/", "rpm", "--nosignature", "-qpl", file)).stdout)
	want := []string{
		"/usr/bin/export-profile",
		"/usr/share/bash-completion/completions/export-profile",
		"/usr/share/doc/export-profile/changelog.gz",
		"/usr/share/doc/export-profile/copyright",
		"/usr/share/fish/vendor_completions.d/export-profile.fish",
		"/usr/share/man/man1/export-profile.1.gz",
		"/usr/share/zsh/site-functions/_export-profile",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files of the RPM (-want +got):\n%s", diff)
	}
	do(t, lab.root.command(out, "sh", "-c",
		`rpm2cpio "$1" | cpio --quiet --extract --to-stdout "*/usr/bin/export-profile" | cmp - export-profile-linux-amd64`, "sh", file))
	do(t, lab.root.command("/", "rpm", "--nosignature", "-K", file))
}

// checkReleaseRefused checks what stops a release, and that nothing is left behind.
func checkReleaseRefused(t *testing.T, p person, repository, key string) {
	stranger := filepath.Join(filepath.Dir(repository), "stranger.pem")
	do(t, p.command("/", "openssl", "genpkey", "-algorithm", "ed25519", "-out", stranger))
	changed := p.scratch(t)
	writeFile(t, filepath.Join(changed, "SHA256SUMS"), strings.Repeat("0", 64)+"  release.pub\n")
	do(t, p.command(repository, "cp", ".github/release.pub", changed))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"build", "v9.9.9", "none"}, `release: the top entry of .github/CHANGELOG.md is "` + releaseVersion + ` (a day)"; want "v9.9.9"`},
		{[]string{"build", "1.0", "none"}, `release: want a version such as v1.2.3, not "1.0"`},
		{[]string{"notes", "v9.9.9"}, `release: the top entry of .github/CHANGELOG.md is "` + releaseVersion + ` (a day)"; want "v9.9.9"`},
		{[]string{"sign", stranger, "../out"}, "release: " + stranger + " is not the secret half of .github/release.pub"},
		{[]string{"build", releaseVersion}, "release: usage: .ci/release build VERSION DIR | sign KEYFILE DIR | push VERSION DIR REGISTRY/NAME | notes VERSION"},
		{[]string{"sign", key, changed}, "release: " + changed + " is not what its SHA256SUMS says"},
	} {
		r := try(t, releaseCommand(p, repository, test.args...))
		if r.status() != 1 || !strings.HasSuffix("\n"+strings.TrimSpace(r.stderr), "\n"+test.want) {
			t.Errorf("%v\nwant status 1 and %q", r, test.want)
		}
	}
	if got := release(t, p, repository, "notes", releaseVersion).stdout; got != "- The last change.\n\n" {
		t.Errorf("notes prints %q; want the entry", got)
	}
	writeFile(t, filepath.Join(repository, "new"), "")
	if r := try(t, releaseCommand(p, repository, "build", releaseVersion, "none")); r.status() != 1 || !strings.Contains(r.stderr, "not committed") {
		t.Errorf("%v\nwant an error: a file is not committed", r)
	}
	if _, err := os.Lstat(filepath.Join(repository, "none")); err == nil {
		t.Errorf("a refused release left a directory")
	}
}
