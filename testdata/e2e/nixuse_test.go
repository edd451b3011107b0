package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// testNixCopyTo checks the programs that make an image outside of the sandbox, as an ordinary user.
func testNixCopyTo(t *testing.T, u *nixUser, want string) {
	p := lab.user
	dir := p.scratch(t)
	copyTo := u.build(t, "web.copyTo") + "/bin/copy-to"
	if r := do(t, p.command(dir, copyTo, "--label", "a=b", "oci:labelled")); strings.TrimSpace(r.stdout) == want {
		t.Errorf("%v\nwant another digest, with a label", r)
	}
	if r := do(t, p.command(dir, copyTo, "oci:copied:v1")); strings.TrimSpace(r.stdout) != want {
		t.Errorf("%v\nwant %s", r, want)
	}
	wantLayout(t, dir+"/copied", map[string]string{"v1": want})

	do(t, p.command(dir, u.build(t, "web.copyToPodman")+"/bin/copy-to-podman"))
	if r := do(t, p.command(dir, "podman", "run", "--rm", "--network=none", "web:v1")); r.stdout != "hello from a page\n" {
		t.Errorf("%v\nwant the page", r)
	}
	do(t, p.command(dir, "podman", "rmi", "web:v1"))

	address := startRegistry(t, "")
	r := do(t, p.command(dir, u.old(t, "pushed.copyToRegistry", "--argstr", "registry", address)+"/bin/copy-to-registry"))
	manifest := registryCall(t, "GET", address, "team/pushed/manifests/v1", nil)
	if got := digest.FromBytes(manifest).String(); got != strings.TrimSpace(r.stdout) {
		t.Errorf("%v\nthe registry has %s", r, got)
	}
}

// testNixExpression checks arguments that the manual's image does not have.
func testNixExpression(t *testing.T, u *nixUser) {
	p := lab.user
	dir := p.scratch(t)
	profile := filepath.Join(lab.dir, "store/nixpkgs")
	bash, curl := objectOf(t, profile, "bin/bash"), objectOf(t, profile, "bin/curl")
	web := u.old(t, "web")

	want := p.export(t, dir, "image", "--no-cache", "--base", "oci:"+web+":v1", "--profile", bash, "--max-layers", "40",
		"--created", "2027-01-31T12:00:00Z", "--sbom", "spdx:wanted.json", "oci:top:v1")
	top := u.old(t, "onTop")
	tag := filepath.Base(top)[:32]
	if got := do(t, p.command(dir, lab.program, "verify", "--json", "oci-archive:"+top+":"+tag)).stdout; !strings.Contains(got, want) {
		t.Errorf("%s is %s; want %s", top, got, want)
	}
	if got, want := readFile(t, u.old(t, "onTop.sbom")), readFile(t, dir+"/wanted.json"); got != want {
		t.Error("the SBOM differs from the one outside")
	}

	archive := u.old(t, "onArchive")
	history := do(t, p.command(dir, lab.program, "closure", "--no-cache", "--from", "oci:"+archive)).stdout
	for _, object := range []string{bash, curl} {
		if !strings.Contains(history, object) {
			t.Errorf("the image on an archive lacks %s:\n%s", object, history)
		}
	}

	do(t, p.command(dir, lab.program, "rootfs", "--no-cache", "--profile", bash, "--mkdir", "/data:0750:101", "--user", "app:1000",
		"--add-group", "a:5000", "--add-group", "b:5001", "--with-nix-db", "tar:root.tar"))
	if !bytes.Equal([]byte(readFile(t, u.old(t, "rootfs"))), []byte(readFile(t, dir+"/root.tar"))) {
		t.Error("the root filesystem differs from the one outside")
	}

	want = p.export(t, dir, "image", "--no-profile", "--bare", "--platform", "linux/"+runtime.GOARCH, "--add", lab.repo+"/testdata/e2e/images.nix:/srv/images.nix", "oci:files:v1")
	files := u.old(t, "files")
	wantLayout(t, files, map[string]string{filepath.Base(files)[:32]: want})
}

// testNixMentioned checks that an image has what its config, files and links mention, and that its config is complete.
func testNixMentioned(t *testing.T, u *nixUser) {
	p := lab.user
	dir := p.scratch(t)
	layout := u.old(t, "mentioned")
	image := "oci:" + layout
	paths := do(t, p.command(dir, lab.program, "closure", "--no-cache", "--from", image)).stdout
	if strings.Contains(paths, "-files+1") || !strings.Contains(paths, "-image-references") || !strings.Contains(paths, "-coreutils-") {
		t.Errorf("the image has the store paths\n%s\nwant the references of the added files, and not the files", paths)
	}
	id := strings.TrimSpace(do(t, p.command(dir, "podman", "pull", "-q", image)).stdout)
	certificates := strings.Count(readFile(t, filepath.Join(lab.dir, "store/nixpkgs/etc/ssl/certs/ca-bundle.crt")), "\n")
	if r := do(t, p.command(dir, "podman", "run", "--rm", "--network=none", id)); strings.TrimSpace(r.stdout) != fmt.Sprint(certificates) {
		t.Errorf("%v\nwant %d lines", r, certificates)
	}
	if r := try(t, p.command(dir, "podman", "run", "--rm", "--network=none", "--user=2000", id)); !strings.Contains(r.stderr, "/etc/program: Permission denied") {
		t.Errorf("%v\nwant a file that only its owner reads", r)
	}
	do(t, p.command(dir, "podman", "rmi", id))

	var config struct {
		Config struct {
			Healthcheck struct {
				Test                           []string
				Interval, Timeout, StartPeriod int64
				Retries                        int
			}
		}
	}
	b := do(t, p.command(dir, "skopeo", "inspect", "--config", "--raw", image)).stdout
	if err := json.Unmarshal([]byte(b), &config); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"A=1"`, `"B=c d"`, `"80/tcp":{}`, `"53/udp":{}`, `"Volumes":{"/data":{}}`, `"key":"a value"`, `"StopSignal":"SIGINT"`,
		`"User":"1000`, `"WorkingDir":"/srv"`,
	} {
		if !strings.Contains(b, part) {
			t.Errorf("the config %s lacks %s", b, part)
		}
	}
	h := config.Config.Healthcheck
	if !slices.Equal(h.Test, []string{"CMD", "true"}) || h.Interval != 1.5e9 || h.Timeout != 2e9 || h.StartPeriod != 3e9 || h.Retries != 4 {
		t.Errorf("the health check is %+v", h)
	}
}

// testNixDocker checks that Docker loads and runs an image.
func testNixDocker(t *testing.T, u *nixUser) {
	m := startDocker(t, bookworm, "{}")
	do(t, m.command(u.old(t, "web.copyToDockerDaemon")+"/bin/copy-to-docker-daemon", "--no-cache"))
	if r := do(t, m.command("docker", "run", "--rm", "--network=none", "web:v1", "curl", "--version")); !strings.HasPrefix(r.stdout, "curl ") {
		t.Errorf("%v\nwant curl's version", r)
	}
}

// testNixMistakes checks what users read after a mistake.
func testNixMistakes(t *testing.T, u *nixUser) {
	for attribute, want := range map[string]string{
		"reserved":    "buildImage does not take flags.base: use the argument fromImage",
		"format":      "there is no format docker: want oci, ",
		"healthcheck": "config.Healthcheck.StartInterval has no flag",
		"config":      "config.Memory has no flag: want Cmd, Entrypoint, Env, ",
		"flag":        `unknown key "compresion": did you mean "compression"?`,
	} {
		r := try(t, u.expression("nix-build", "mistakes."+attribute, "--no-out-link"))
		if r.status() == 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v\nwant %q", r, want)
		}
	}
}
