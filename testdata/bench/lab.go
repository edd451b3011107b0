package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, program string
	small        bool
	timeout      time.Duration
	patience     time.Duration
}

// lab holds the environment of a run.
type lab struct {
	ctx     context.Context
	options options
	start   time.Time

	repo    string
	keep    string // directory for files that take long to make, kept for later runs
	scratch string // directory on the same file system, deleted in the end
	program string // export-profile
	flags   string // output of its help
	env     []string

	base    *generation
	revised map[string]*generation // the same after an update of one package, by the names of profiles

	actions map[string]action
	ready   map[string]error // results of prepared
	mounted string

	discarded int // number of results kept until the end
}

// generation is a profile built by Nix.
type generation struct {
	profile string   // a link
	closure []string // sorted
	size    int64    // of the closure's NARs
	list    string   // a file that names the closure, relative to /
}

// closures lists the packages of the large and the small closure, and the packages to update.
// An update of the library changes all its dependents, as always in Nix.
var closures = map[bool]struct {
	packages  []string
	leaf, mid string
}{
	false: {[]string{"git", "python3", "openjdk-17-jdk-headless", "g++", "clang", "cmake", "gdb", "postgresql",
		"nginx", "ruby", "ffmpeg", "imagemagick", "chromium", "gnupg", "php-cli", "ghostscript", "subversion"}, "git", "libssl3"},
	true: {[]string{"curl", "ca-certificates", "dash", "coreutils"}, "curl", "libssl3"},
}

// tools maps required programs to their Debian packages.
var tools = map[string]string{
	"nix-store": "nix-bin", "patchelf": "patchelf", "umoci": "umoci", "skopeo": "skopeo", "buildah": "buildah",
	"newuidmap": "uidmap", "strace": "strace", "python3": "python3",
	"docker-registry": "docker-registry", "mmdebstrap": "mmdebstrap",
}

// nixConfig makes Nix build without build users, sandbox and network, and import without signatures.
const nixConfig = "substituters =\nsandbox = false\nfilter-syscalls = false\nbuild-users-group =\n" +
	"require-sigs = false\nexperimental-features = nix-command\n"

func newLab(ctx context.Context, o options) (l *lab, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("not root: Nix, other tools and mounts need it")
	}
	syscall.Umask(0o022)
	l = &lab{ctx: ctx, options: o, start: time.Now(), ready: make(map[string]error), revised: make(map[string]*generation)}
	if l.repo, err = findRepo(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	l.keep = filepath.Join(dir, map[bool]string{false: "store", true: "small"}[o.small])
	l.scratch = filepath.Join(dir, "scratch")
	l.mounted = filepath.Join(l.scratch, "other")
	_ = syscall.Unmount(l.mounted, syscall.MNT_DETACH) // left by a killed run
	if err := removeAll(l.scratch); err != nil {
		return nil, err
	}
	for _, d := range []string{l.keep, l.mounted, l.scratch + "/home", l.scratch + "/tmp"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	made := l // a return with an error sets l to nil
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	if err := syscall.Mount("tmpfs", l.mounted, "tmpfs", 0, "size=8g"); err != nil {
		return nil, fmt.Errorf("mount another file system: %w", err)
	}
	l.env = append(os.Environ(), "NIX_CONFIG="+nixConfig, "HOME="+l.scratch+"/home", "XDG_CACHE_HOME="+l.scratch+"/home/cache",
		"XDG_RUNTIME_DIR="+l.scratch+"/tmp", "TMPDIR="+l.scratch+"/tmp", "LC_ALL=C")

	l.logf("install tools")
	if err := l.installTools(); err != nil {
		return nil, err
	}
	if err := l.buildProgram(o.program); err != nil {
		return nil, err
	}
	l.logf("build the closure")
	if err := l.buildStore(o.small); err != nil {
		return nil, err
	}
	l.actions = l.allActions()
	// Read all files once, so that they are in the page cache.
	_, err = l.output("bash", "-c", `tar -cf - -C / -T "$1" | wc -c`, "bash", l.base.list)
	return l, err
}

// close deletes the scratch directory.
func (l *lab) close() error {
	err := syscall.Unmount(l.mounted, syscall.MNT_DETACH)
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, removeAll(l.scratch))
}

func (l *lab) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: %4.0f s: %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

func (l *lab) installTools() error {
	var missing []string
	for tool, pkg := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, pkg)
		}
	}
	// Building the closure needs apt's package lists too, unless it was built before.
	if _, err := os.Lstat(l.baseProfile()); err == nil && len(missing) == 0 {
		return nil
	}
	if _, err := l.output("apt-get", "-o", "Acquire::Retries=3", "update"); err != nil || len(missing) == 0 {
		return err
	}
	slices.Sort(missing)
	_, err := l.output(append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "Acquire::Retries=3",
		"install", "-y", "--no-install-recommends"}, missing...)...)
	return err
}

func (l *lab) buildProgram(given string) (err error) {
	if l.program = l.scratch + "/export-profile"; given != "" {
		l.program, err = filepath.Abs(given)
	} else {
		_, err = l.output("env", "CGO_ENABLED=0", "HOME="+os.Getenv("HOME"), "XDG_CACHE_HOME="+os.Getenv("XDG_CACHE_HOME"),
			"go", "build", "-C", l.repo, "-o", l.program, "./cmd/export-profile")
	}
	if err != nil {
		return err
	}
	l.flags, err = l.output(l.program, "help", "image")
	return err
}

// has returns an error if this export-profile does not have a flag for images.
func (l *lab) has(flag string) error {
	if !strings.Contains(l.flags, flag+" ") {
		return &notAvailableError{flag}
	}
	return nil
}

func (l *lab) baseProfile() string { return filepath.Join(l.keep, "profile") }

// buildStore makes Nix build the profiles. The builder of the end-to-end tests makes the first one, and leaves
// its Nix expression. For the others, revise renames a package in that expression.
func (l *lab) buildStore(small bool) (err error) {
	c := closures[small]
	profile := l.baseProfile()
	builder := filepath.Join(l.repo, "testdata/e2e/debstore.py")
	if _, err := l.output(append([]string{"python3", builder, profile, l.keep}, c.packages...)...); err != nil {
		return err
	}
	if l.base, err = l.generation(profile); err != nil {
		return err
	}
	l.logf("the closure has %d store paths, %d MB", len(l.base.closure), l.base.size/1e6)
	return nil
}

// revision is a way to update a package. The text of its line in the Nix expression is replaced.
type revision struct{ name, pattern, text string }

var (
	// renamed gives a package another version: strings in its dependents get longer, and bytes behind them move.
	renamed = revision{"", `(?m)^(  %s = mk "[^"]+)"`, `$1-r2"`}
	// rebuilt gives a package and its dependents other hashes, as a change of a build input does.
	rebuilt = revision{"rev-", `(?m)^(  %s = mk "[^"]+") ""`, `$1 "2"`}
)

// revision returns the profile after an update of one package. Nix builds it for the first action that needs it.
func (l *lab) revision(pkg string, how revision) (*generation, error) {
	name := "profile-" + how.name + pkg
	err := l.prepared(name, func() (err error) {
		l.revised[name], err = l.revise(pkg, how)
		return err
	})
	return l.revised[name], err
}

func (l *lab) revise(pkg string, how revision) (*generation, error) {
	b, err := os.ReadFile(filepath.Join(l.keep, "default.nix"))
	if err != nil {
		return nil, err
	}
	ident := "p_" + regexp.MustCompile(`\W`).ReplaceAllString(pkg, "_")
	line := regexp.MustCompile(fmt.Sprintf(how.pattern, ident))
	if !line.Match(b) {
		return nil, fmt.Errorf("revise %q: not in the closure", pkg)
	}
	file := filepath.Join(l.keep, "revised-"+how.name+pkg+".nix")
	if err := os.WriteFile(file, line.ReplaceAll(b, []byte(how.text)), 0o644); err != nil {
		return nil, err
	}
	out, err := l.output("nix-build", file, "--no-out-link", "-j2", "-Q")
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(l.keep, "profile-"+how.name+pkg)
	if _, err := l.output(append([]string{"nix-env", "-p", profile, "-i"}, strings.Fields(out)...)...); err != nil {
		return nil, err
	}
	g, err := l.generation(profile)
	if err == nil {
		l.logf("an update of %s%s changes %d store paths", how.name, pkg, len(g.changed(l.base)))
	}
	return g, err
}

func (l *lab) generation(profile string) (*generation, error) {
	g := &generation{profile: profile, list: filepath.Join(l.scratch, filepath.Base(profile)+".list")}
	out, err := l.output("nix-store", "-qR", profile)
	if err != nil {
		return nil, err
	}
	g.closure = strings.Fields(out)
	slices.Sort(g.closure)
	if out, err = l.output(append([]string{"nix-store", "-q", "--size"}, g.closure...)...); err != nil {
		return nil, err
	}
	for _, s := range strings.Fields(out) {
		var n int64
		if _, err := fmt.Sscan(s, &n); err != nil {
			return nil, err
		}
		g.size += n
	}
	return g, writeList(g.list, g.closure)
}

// changed lists the store paths that are not in another closure.
func (g *generation) changed(from *generation) []string {
	var paths []string
	for _, p := range g.closure {
		if _, found := slices.BinarySearch(from.closure, p); !found {
			paths = append(paths, p)
		}
	}
	return paths
}

// writeList writes store paths for tar -C / -T.
func writeList(file string, paths []string) error {
	var b strings.Builder
	for _, p := range paths {
		b.WriteString(strings.TrimPrefix(p, "/") + "\n")
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// prepared runs prepare on the first call for what, and returns its error on every call.
func (l *lab) prepared(what string, prepare func() error) error {
	err, done := l.ready[what]
	if !done {
		l.logf("prepare %s", what)
		err = prepare()
		l.ready[what] = err
		syscall.Sync()
	}
	return err
}
