package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/sbom/sbomtest"
)

// testElsewhereCommands runs the commands that look into a profile or an image, and checks that only the store directory occurs.
func testElsewhereCommands(t *testing.T, s *elsewhere) {
	p := lab.user
	dir := p.scratch(t)
	live := []string{"--store-dir", s.store, "--profile", s.profile}
	p.export(t, dir, slices.Concat([]string{"image"}, live, []string{"oci:image:v1"})...)
	run := func(args ...string) string {
		t.Helper()
		got := p.export(t, dir, args...)
		// why --precise shows the last bytes in front of a hash.
		if rest := regexp.MustCompile(`…\S+`).ReplaceAllString(strings.ReplaceAll(got, s.store, ""), ""); strings.Contains(rest, "/store") {
			t.Errorf("%q prints another store directory than %s:\n%s", args, s.store, got)
		}
		return got
	}
	want := fields(s.nix(t, "nix", "path-info", "-rsS", s.object))
	for _, from := range [][]string{live, {"--from", "oci:image:v1"}} {
		if diff := cmp.Diff(want, fields(run(append([]string{"closure", "--bytes"}, from...)...)+"\n")); diff != "" {
			t.Errorf("closure %q (-nix +export-profile):\n%s", from, diff)
		}
		why := run(append(append([]string{"why", "--precise"}, from...), s.path("greeting"))...)
		for _, part := range []string{s.object + "\n", s.path("words-1.0") + "\n", "share/facts: …", s.path("greeting") + "\n"} {
			if !strings.Contains(why, part) {
				t.Errorf("why %q prints\n%s\nwant %q in it", from, why, part)
			}
		}
		if ls := run(append([]string{"ls"}, from...)...); !strings.Contains(ls, "/bin/greet\n") || !strings.Contains(ls, "\t"+s.store+"\n") {
			t.Errorf("ls %q prints\n%s\nwant the program and the store directory in it", from, ls)
		}
		for _, format := range []string{"spdx", "cyclonedx"} {
			document := run(append([]string{"sbom", "--format", format}, from...)...)
			if err := sbomtest.Validate(format, []byte(document)); err != nil || !strings.Contains(document, s.object) {
				t.Errorf("sbom %q in %s: %v; want a valid document with %s", from, format, err, s.object)
			}
		}
	}
	if got := run("verify", "oci:image:v1"); got != s.image {
		t.Errorf("verify prints %s; want %s", got, s.image)
	}
	for _, args := range [][]string{append([]string{"check"}, live...), {"check", "oci:image:v1"}} {
		if got := run(args...); !strings.Contains(got, "1 program in PATH, 0 errors, ") {
			t.Errorf("%q prints %s; want no errors", args, got)
		}
	}
	if got := run(slices.Concat([]string{"plan"}, live, []string{"oci:image:v1"})...); !strings.Contains(got, "greet") || !strings.Contains(got, " 0.0 KiB to build") {
		t.Errorf("plan prints %s; want all layers to be in the cache", got)
	}
	run(slices.Concat([]string{"report"}, live, []string{"page.html"})...)
	page := readFile(t, dir+"/page.html")
	if !strings.Contains(page, `"storeDir":"`+s.store+`"`) || strings.Contains(page, `"/nix/store/`) {
		t.Errorf("the report has another store directory than %s", s.store)
	}
}

// testElsewherePrevious builds a next revision, and checks that an update keeps layers and is as small as for /nix/store.
func testElsewherePrevious(t *testing.T, s *elsewhere) {
	p := lab.user
	dir := p.scratch(t)
	args := []string{"image", "--store-dir", s.store, "--profile", s.profile}
	p.export(t, dir, append(args, "oci:image:v1")...)
	was := s.object
	s.build(t, "1")
	if was == s.object {
		t.Fatal("the profile is the same as before")
	}
	r := do(t, p.command(dir, lab.program, append(args, "--previous", "oci:image:v1", "oci:image:v2")...))
	if !regexp.MustCompile(`layers: [1-9]\d* kept, .* [1-9]\d* new`).MatchString(r.stderr) {
		t.Errorf("%v\nwant some layers to be kept, and some to be new", r)
	}
	if got := p.export(t, dir, "diff", "oci:image:v1", "oci:image:v2"); !strings.Contains(got, "greet: 1.0 → 1.1") {
		t.Errorf("diff prints\n%s\nwant the new version of greet", got)
	}
}

// testElsewherePodman checks that podman runs a program with its files in the store.
func testElsewherePodman(t *testing.T, s *elsewhere) {
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--store-dir", s.store, "--profile", s.profile, "--entrypoint", "greet", "oci:image:v1")
	id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:image:v1")).stdout)
	if r := podmanRun(t, p, dir, id); r.stdout != greeting {
		t.Errorf("%v\nwant %q", r, greeting)
	}
	var env []string
	inspected := do(t, p.podman(dir, "image", "inspect", "--format", "{{json .Config.Env}}", id)).stdout
	if err := json.Unmarshal([]byte(inspected), &env); err != nil || !slices.Contains(env, "PATH=/run/profile/bin:"+s.object+"/bin") {
		t.Errorf("the environment is %q, %v; want the PATH of %s", env, err, s.object)
	}
	do(t, p.podman(dir, "rmi", id))
}

// testElsewhereDatabase checks that Nix can use the store of a root filesystem that has its database:
// it reads the closure, verifies all contents, and deletes nothing.
func testElsewhereDatabase(t *testing.T, s *elsewhere) {
	p := lab.root
	dir := p.scratch(t)
	p.export(t, dir, "rootfs", "--store-dir", s.store, "--profile", s.profile, "--with-nix-db", "./root")
	describe := `nix-store -qR "$0"; nix-store -q --hash $(nix-store -qR "$0"); nix-store -q --references $(nix-store -qR "$0")`
	want := s.nix(t, "sh", "-c", describe, s.object)
	const use = `set -e
	mount --bind "$1$2" "$2"
	nix-collect-garbage -d >&2
	nix-store --verify --check-contents
	`
	cmd := p.command(dir, "unshare", "--mount", "sh", "-c", use+strings.ReplaceAll(describe, "$0", "$3"), "sh", "root", s.around, s.object)
	cmd.Env = s.owner.env
	r := do(t, cmd)
	if r.stdout != want || strings.Contains(r.stderr, "was modified") || strings.Contains(r.stderr, "disappeared") {
		t.Errorf("%v\nwant no errors, and the answers of the store itself:\n%s", r, want)
	}
}

// testElsewhereMistakes checks what is refused.
func testElsewhereMistakes(t *testing.T, s *elsewhere) {
	_, other := signingKey(t, "elsewhere-1") // another key of the same name
	image := func(flags ...string) []string { return append(append([]string{"image"}, flags...), "oci:x") }
	quoted := regexp.QuoteMeta
	signed := s.cache(t, "compression=none", s.object)
	// damaged copies the cache and changes one of its files.
	damaged := func(name, old, changed string) string {
		dir := lab.root.scratch(t)
		do(t, exec.Command("cp", "-R", signed, dir))
		name = filepath.Join(dir, "cache", name)
		text := readFile(t, name)
		if strings.Count(text, old) != 1 {
			t.Fatalf("%q contains %q %d times:\n%s", name, old, strings.Count(text, old), text)
		}
		writeFile(t, name, strings.Replace(text, old, changed, 1))
		return filepath.Dir(name)
	}
	info := func(p string) string { return narInfo("", s.path(p)) }
	trusting := func(from string) []string {
		return image("--from", from, "--require-sigs", "--trusted-public-key", s.key)
	}
	for _, m := range []mistake{
		{name: "no key", args: image("--from", signed, "--require-sigs"), err: `is not trusted: it is signed by "elsewhere-1", which is no trusted key`, hint: `--trusted-public-key`},
		{name: "wrong key", args: image("--from", signed, "--require-sigs", "--trusted-public-key", other), err: `the signature of key "elsewhere-1" does not verify`},
		{name: "references", args: trusting(damaged(info("words-1.0"), "References: ", "References: "+filepath.Base(s.path("certificates-2.0"))+" ")),
			err: quoted(s.path("words-1.0")) + `" is not trusted: the signature of key "elsewhere-1" does not verify`},
		{name: "NAR hash", args: trusting(damaged(info("words-1.0"), "NarHash: sha256:", "NarHash: sha256:"+strings.Repeat("1", 52)+"\nX: ")),
			err: quoted(s.path("words-1.0")) + `" is not trusted: the signature of key "elsewhere-1" does not verify`},
		{name: "content address", args: trusting(damaged(info("greeting"), "CA: fixed:r:sha256:", "CA: fixed:r:sha256:"+strings.Repeat("1", 52)+"\nX: ")),
			err: quoted(s.path("greeting")) + `" is not trusted: `},
		{name: "another StoreDir", args: image("--from", damaged("nix-cache-info", s.store, "/opt/other/store")), err: `it is about "` + quoted(s.store) + `/.*", but the store directory of the cache is /opt/other/store$`},
		{name: "a path of another store directory", args: image("--from", damaged(info("words-1.0"), "StorePath: "+s.store, "StorePath: /nix/store")), err: `it is about "/nix/store/.*-words-1.0", but the store directory of the cache is ` + quoted(s.store)},
		{name: "another --store-dir", args: image("--from", signed, "--store-dir", "/opt/other/store"),
			err: `is ` + quoted(s.store) + `, but that of --store-dir is /opt/other/store`, hint: `--store-dir ` + quoted(s.store)},
		{name: "two stores", args: image("--from", signed, "--from", exportFile(t, dash(t))),
			err: `the store directory of .* is /nix/store, but that of .* is ` + quoted(s.store), hint: `one store directory`},
		{name: "this machine's", args: image("--profile", s.profile), err: `leads out of the store: it ends at "` + quoted(s.object) + `"`, hint: `--store-dir ` + quoted(s.store)},
		{
			name: "this machine's, no /nix", err: `file does not exist$|leads out of the store`, hint: `say --store-dir ` + quoted(s.store),
			command: func(dir string) *exec.Cmd {
				return lab.user.without("/nix", dir, lab.program, image("--profile", s.profile)...)
			},
		},
		{
			name: "base image", args: image("--from", signed, "--base", "oci:base:v1"),
			prepare: func(t *testing.T, dir string) {
				lab.user.export(t, dir, "image", "--from", goldenExport(t, dir), "oci:base:v1")
			},
			err: `the base image "oci:base:v1" has the store directory /nix/store, and the profile ` + quoted(s.store),
		},
	} {
		m.status = 1
		m.check(t)
	}
}
