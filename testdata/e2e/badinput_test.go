package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mistake is a mistake of a user, and what the program must print about it.
type mistake struct {
	name string
	// prepare sets up the mistake in the directory where the command runs.
	prepare func(t *testing.T, dir string)
	args    []string
	// command, if set, runs in place of export-profile with args.
	command func(dir string) *exec.Cmd
	status  int
	err     string // regular expression for the error
	hint    string // regular expression for the hint; "" if none is required
}

// check makes the mistake, as the ordinary user in a new directory that is also the home.
// Standard error must contain one error, whose further lines are indented, and at most one hint and one chapter of the manual.
// Standard output must be empty, and nothing new may be left in the directory except a cache.
func (m mistake) check(t *testing.T) {
	t.Run(m.name, func(t *testing.T) {
		p := lab.user
		dir := p.scratch(t)
		p = p.with("HOME=" + dir)
		if m.prepare != nil {
			m.prepare(t, dir)
		}
		cmd := p.command(dir, lab.program, m.args...)
		if m.command != nil {
			cmd = m.command(dir)
			cmd.Env = p.env
		}
		before := list(t, dir)
		r := try(t, cmd)
		after := list(t, dir)
		maps.DeleteFunc(after, func(path, _ string) bool {
			rest, ok := strings.CutPrefix(path, ".cache")
			return ok && (rest == "" || rest == "/export-profile" || isCacheFile(strings.TrimPrefix(rest, "/export-profile/")))
		})
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%v\nleft (-before +after):\n%s", r, diff)
		}
		if r.status() != m.status {
			t.Errorf("%v\nwant exit status %d", r, m.status)
		}
		if r.stdout != "" {
			t.Errorf("%v\nwant nothing on standard output", r)
		}
		m.checkSaid(t, r)
	})
}

func (m mistake) checkSaid(t *testing.T, r result) {
	t.Helper()
	said := make(map[string][]string)
	for line := range strings.Lines(r.stderr) {
		if e := said["error"]; len(e) == 1 && strings.HasPrefix(line, "  ") {
			e[0] += "\n" + strings.TrimSuffix(line, "\n")
			continue
		}
		kind, text, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "export-profile: "), ": ")
		if !ok || !strings.HasPrefix(line, "export-profile: ") {
			t.Errorf("%v\n%q is not an error, hint or note", r, line)
		}
		said[kind] = append(said[kind], text)
	}
	if e := said["error"]; len(e) != 1 || !regexp.MustCompile(m.err).MatchString(e[0]) {
		t.Errorf("%v\nwant one error that matches %q", r, m.err)
	}
	h := said["hint"]
	if len(h) > 1 || m.hint != "" && (len(h) == 0 || !regexp.MustCompile(m.hint).MatchString(h[0])) {
		t.Errorf("%v\nwant a hint that matches %q", r, m.hint)
	}
	for _, see := range said["see"] {
		if name, ok := strings.CutPrefix(see, "export-profile help "); !ok || !strings.Contains(chapters(), "\n  "+name+" ") || len(said["see"]) > 1 {
			t.Errorf("%v\nwant the name of one chapter, not %q", r, see)
		}
	}
}

// chapters is the program's list of the chapters of its manual.
var chapters = sync.OnceValue(func() string {
	out, _ := exec.Command(lab.program, "help", "manual").Output() // without it, no name is right
	return string(out)
})

// TestBadCommandLine checks the errors for wrong arguments.
func TestBadCommandLine(t *testing.T) {
	for _, m := range []mistake{
		{args: []string{"imgae", "oci:x"}, err: `unknown command "imgae"`, hint: `did you mean image\?`},
		{args: []string{"rotfs", "./x"}, err: `unknown command "rotfs"`, hint: `did you mean rootfs\?`},
		{args: []string{"root"}, err: `unknown command "root"`, hint: `\./root`},
		{args: []string{"image", "--compresion", "none", "oci:x"}, err: `--compresion`, hint: `did you mean --compression\?`},
		{args: []string{"rootfs", "--writeable", "./x"}, err: `--writeable`, hint: `did you mean --writable\?`},
		{args: []string{"image"}, err: `one destination`, hint: `oci:`},
		{args: []string{"image", "oci:a", "oci:b"}, err: `one destination`, hint: `oci:`},
		{args: []string{"image", "docker-daemon:x"}, err: `docker-daemon: is not supported`, hint: `oci:`},
		{args: []string{"image", "oci::v1"}, err: `name is blank`, hint: `oci:`},
		{args: []string{"image", "oci:x:no tag"}, err: `"oci:x:no tag"`, hint: `oci:hello:v1`},
		{args: []string{"image", "--tag", "Hello:v1", "oci:x"}, err: `--tag: .*Hello`, hint: `--tag`},
		{args: []string{"image", "--env", "LANG", "oci:x"}, err: `--env "LANG": want NAME=VALUE`, hint: `--env LANG=`},
		{args: []string{"image", "--env", "=x", "oci:x"}, err: `--env "=x": want NAME=VALUE`, hint: `--env LANG=`},
		{args: []string{"image", "--compression", "lz4", "oci:x"}, err: `--compression: .*lz4`, hint: `zstd`},
		{args: []string{"image", "--compression", "zstd:chunked:23", "oci:x"}, err: `"zstd:chunked:23": want a level from 1 to 22`, hint: `zstd:3`},
		{args: []string{"image", "--compression", "zstd:chunked", "docker-archive:x"}, err: `"docker-archive:x": docker-archive: has no place for the tables`, hint: `oci-archive:FILE.* --compression zstd$`},
		{args: []string{"rootfs", "--compression", "zstd:chunked", "tar:x"}, err: `zstd:chunked: only the manifest of an image says where`, hint: `--compression zstd`},
		{args: []string{"image", "--created", "yesterday", "oci:x"}, err: `--created "yesterday"`, hint: `--created`},
		{args: []string{"image", "--platform", "arm64", "oci:x"}, err: `--platform "arm64"`, hint: `linux/arm64`},
		{args: []string{"image", "--entrypoint", `["sh"`, "oci:x"}, err: `--entrypoint`, hint: `JSON|\["`},
		{args: []string{"image", "--user", "a b", "oci:x"}, err: `--user: `, hint: `--user app:1000`},
		{args: []string{"image", "--healthcheck-interval", "5s", "oci:x"}, err: `no command, and there is no health check`, hint: `--healthcheck '`},
		{args: []string{"image", "--healthcheck", "CMD true", "oci:x"}, err: `--healthcheck "CMD true"`, hint: `leave out CMD`},
		{args: []string{"image", "--healthcheck", "true", "--healthcheck-interval", "5", "oci:x"}, err: `want a duration`, hint: `30s`},
	} {
		m.name, m.status = strings.Join(m.args, " "), 2
		m.check(t)
	}
}

// TestBadProfile checks the errors for unusable profiles.
func TestBadProfile(t *testing.T) {
	p := lab.user
	link := func(target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
		}
	}
	unknown := "/nix/store/" + strings.Repeat("0", 32) + "-gone"
	for _, m := range []mistake{
		{
			name: "none",
			command: func(dir string) *exec.Cmd {
				return p.without("/nix/var/nix/profiles", dir, lab.program, "image", "oci:x")
			},
			err: `find profile: none of .*\.nix-profile`, hint: `--profile`,
		},
		{
			name:    "no store",
			command: func(dir string) *exec.Cmd { return p.without("/nix", dir, lab.program, "image", "oci:x") },
			err:     `no store database`, hint: `--from`,
		},
		{
			name: "default dangles",
			prepare: func(t *testing.T, dir string) {
				if err := os.Symlink(unknown, filepath.Join(dir, ".nix-profile")); err != nil {
					t.Fatal(err)
				}
			},
			args: []string{"rootfs", "./x"}, err: `\.nix-profile.*` + unknown,
		},
		{name: "missing", args: []string{"image", "--profile", "./result", "oci:x"}, err: `"\./result"`},
		{name: "dangling", prepare: link("nowhere"), args: []string{"image", "--profile", "./link", "oci:x"}, err: `"\./link": dangling link: .*nowhere`},
		{name: "dangling in the store", prepare: link(unknown), args: []string{"image", "--profile", "./link", "oci:x"}, err: `"\./link": .*` + unknown},
		{name: "out of the store", prepare: link("/etc"), args: []string{"image", "--profile", "./link", "oci:x"}, err: `"\./link": leads out of the store: .*/etc`},
		{name: "round", prepare: link("link"), args: []string{"image", "--profile", "./link", "oci:x"}, err: `"\./link": more than \d+ links`},
		{
			name: "a store path that is a link out of the store",
			prepare: func(t *testing.T, dir string) {
				store := filepath.Join(dir, "copy/nix/store")
				if err := os.MkdirAll(store, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/home/me", filepath.Join(store, "00000000000000000000000000000000-env")); err != nil {
					t.Fatal(err)
				}
			},
			args: []string{"image", "--from", "copy", "oci:x"}, err: `-env" is a link to "/home/me": leads out of the store`, hint: `--add`,
		},
		{
			name: "unknown user", status: 2,
			args: []string{"image", "--profile", lab.object, "--user", "web", "oci:x"}, err: `user "web": .*does not have it, only \["root" "nobody"\]`, hint: `--user web:1000`,
		},
		{name: "unknown path", args: []string{"image", "--profile", unknown, "oci:x"}, err: unknown},
		{
			name: "two architectures",
			args: []string{"image", "--profile", lab.object, "--profile", lab.objects["arm"], "oci:x"},
			err:  `profiles of two architectures: .*amd64.*arm64`,
		},
		{
			name: "no architecture", status: 2,
			args: []string{"image", "--profile", lab.objects["odd"], "oci:x"},
			err:  `no program shows the image's platform`, hint: `--platform linux/amd64`,
		},
		{
			name: "no certificate", prepare: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "ca.pem"), "not PEM\n") },
			args: []string{"image", "--profile", lab.object, "--ca-file", "ca.pem", "oci:x"}, err: `read certificates "ca\.pem"`,
		},
		{
			name: "no certificate file",
			args: []string{"image", "--profile", lab.object, "--ca-file", "ca.pem", "oci:x"}, err: `read certificates "ca\.pem"`,
		},
		{
			name: "metadata of another program", prepare: func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "m.json"), "{\n\"curl\": {}}") },
			args: []string{"image", "--profile", lab.object, "--sbom", "spdx", "--metadata", "m.json", "oci:x"},
			err:  `read metadata "m\.json": line 2: unknown field "curl": want version or packages`, hint: `metadata\.nix`,
		},
	} {
		if m.status == 0 {
			m.status = 1
		}
		m.check(t)
	}
}

// TestBadDestination checks the errors for destinations that cannot be written or already contain other files.
func TestBadDestination(t *testing.T) {
	file := func(t *testing.T, dir string) { writeFile(t, filepath.Join(dir, "x"), "something else\n") }
	full := func(t *testing.T, dir string) {
		if err := os.Mkdir(filepath.Join(dir, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "x/precious"), "something else\n")
	}
	link := func(target string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Symlink(target, filepath.Join(dir, "x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	rootOwned := func(t *testing.T, dir string) {
		if err := os.Mkdir(filepath.Join(dir, "theirs"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []mistake{
		{name: "rootfs/file", prepare: file, args: []string{"rootfs", "x"}, err: `"x": .*file already exists`, hint: `remove this one`},
		{name: "rootfs/directory", prepare: full, args: []string{"rootfs", "x"}, err: `"x": .*file already exists`, hint: `remove this one`},
		{name: "rootfs/link", prepare: link("."), args: []string{"rootfs", "x"}, err: `"x": .*file already exists`, hint: `remove this one`},
		{name: "rootfs/dangling link", prepare: link("nowhere"), args: []string{"rootfs", "x"}, err: `"x": .*file already exists`, hint: `remove this one`},
		{name: "rootfs/no parent", args: []string{"rootfs", "x/y"}, err: `x/y.*no such file or directory`},
		{name: "rootfs/not writable", prepare: rootOwned, args: []string{"rootfs", "theirs/x"}, err: `theirs/x.*permission denied`, hint: `may write`},
		{name: "script/directory", prepare: full, args: []string{"./x"}, err: `"\./x": .*file already exists`, hint: `remove this one`},
		{name: "image/file", prepare: file, args: []string{"image", "oci:x:v1"}, err: `"x".*no directory`},
		{name: "image/directory", prepare: full, args: []string{"image", "oci:x:v1"}, err: `"x".*neither empty nor an image layout`},
		{name: "image/dangling link", prepare: link("nowhere"), args: []string{"image", "oci:x:v1"}, err: `"x".*nowhere`},
		{name: "image/no parent", args: []string{"image", "oci:x/y:v1"}, err: `x/y.*no such file or directory`},
		{name: "image/not writable", prepare: rootOwned, args: []string{"image", "oci:theirs/x:v1"}, err: `theirs/x.*permission denied`, hint: `may write`},
		{
			name: "image/another user's layout",
			prepare: func(t *testing.T, dir string) {
				rootOwned(t, dir)
				lab.root.export(t, dir, "image", "--profile", dash(t), "oci:theirs/x:old")
			},
			args: []string{"image", "oci:theirs/x:v1"}, err: `theirs/x.*permission denied`, hint: `may write`,
		},
		{
			name: "image/damaged layout",
			prepare: func(t *testing.T, dir string) {
				lab.user.export(t, dir, "image", "--profile", dash(t), "oci:x:old")
				writeFile(t, filepath.Join(dir, "x/index.json"), `{"schemaVersion": 2, "manifests": [{`)
			},
			args: []string{"image", "oci:x:v1"}, err: `"x".*index`,
		},
	} {
		m.status = 1
		m.args = append([]string{m.args[0], "--profile", lab.object}, m.args[1:]...)
		if strings.HasPrefix(m.name, "script") {
			m.args = []string{"--profile", lab.object, "./x"}
		}
		m.check(t)
	}
}

// TestFullDisk checks the error on a file system that is too small for the result.
func TestFullDisk(t *testing.T) {
	for _, m := range []mistake{
		{name: "rootfs", args: []string{"rootfs", "--profile", lab.object, "full/root"}, err: `no space left on device`},
		{name: "image", args: []string{"image", "--profile", lab.object, "oci:full/new:v1"}, err: `no space left on device`},
		{name: "add", args: []string{"image", "--profile", lab.object, "oci:full/layout:v1"}, err: `no space left on device`},
		{name: "replace", args: []string{"image", "--profile", lab.object, "oci:full/layout:old"}, err: `no space left on device`},
		{
			name: "spool",
			command: func(dir string) *exec.Cmd {
				line := `cat export | exec "$0" image --from - --cache full oci:x:v1`
				return lab.user.command(dir, "sh", "-c", line, lab.program)
			},
			err: `no space left on device`,
		},
	} {
		m.status, m.hint = 1, `free some space`
		m.prepare = func(t *testing.T, dir string) {
			mountSmall(t, filepath.Join(dir, "full"))
			lab.user.export(t, dir, "image", "--from", goldenExport(t, dir), "oci:full/layout:old")
			if m.name == "spool" {
				do(t, exec.Command("cp", exportFile(t, dash(t)), filepath.Join(dir, "export")))
			}
		}
		m.check(t)
	}
}

// mountSmall mounts a file system of a few megabytes for the ordinary user, until the test ends.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("size=4m,mode=755,uid=%d,gid=%d", lab.user.uid, lab.user.gid)
	do(t, exec.Command("mount", "-t", "tmpfs", "-o", options, "none", dir))
	t.Cleanup(func() { do(t, exec.Command("umount", dir)) })
}
