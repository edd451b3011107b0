package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScript checks that `export-profile ROOTDIR` writes the same tree as the script that it replaces did with cp.
func TestScript(t *testing.T) {
	for _, tt := range []struct {
		name, object string
		complains    bool // cp reports files that it leaves out, and fails
	}{
		{"curl", lab.object, false},
		{"odd", lab.objects["odd"], true},
	} {
		dir := lab.root.scratch(t)
		want := oracle(t, filepath.Join(dir, "oracle"), tt.object, tt.complains)
		for _, p := range []person{lab.root, lab.user} {
			t.Run(tt.name+"/"+p.name, func(t *testing.T) {
				dir := p.scratch(t)
				p.export(t, dir, "--profile", tt.object, "./root")
				if diff := cmp.Diff(want, list(t, filepath.Join(dir, "root"))); diff != "" {
					t.Errorf("export-profile ./root (-cp +export-profile):\n%s", diff)
				}
				checkTimes(t, filepath.Join(dir, "root"))
			})
		}
	}
}

// oracle makes a root filesystem like the script.
func oracle(t *testing.T, root, object string, complains bool) map[string]string {
	t.Helper()
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"nix/store", "run", "bin", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyAll := func(args ...string) result {
		cmd := exec.Command("cp", args...)
		cmd.Dir = root
		return try(t, cmd)
	}
	if r := copyAll(append(append([]string{"-a", "--reflink=auto"}, closure...), "nix/store")...); r.status() != 0 {
		t.Fatalf("%v", r)
	}
	run := copyAll("-R", "-Ls", object, "run/profile")
	etc := copyAll("-R", "-Ls", object+"/etc", "etc")
	if got := run.status() != 0 || etc.status() != 0; got != complains {
		t.Fatalf("cp complains: %t; want %t\n%v\n%v", got, complains, run, etc)
	}
	for _, link := range [][2]string{{"bin/sh", "/bin/sh"}, {"usr/bin/env", "/bin/env"}} {
		place := filepath.Join(root, link[0])
		if fi, err := os.Stat(object + link[1]); err == nil && fi.Mode()&0o111 != 0 {
			if err := os.Symlink(object+link[1], place); err != nil {
				t.Fatal(err)
			}
			continue
		}
		os.Remove(filepath.Dir(place))
	}
	os.Remove(filepath.Join(root, "usr"))
	tree := list(t, root)
	if len(tree) < len(closure) {
		t.Fatalf("the oracle has only %d entries for a closure of %d store paths", len(tree), len(closure))
	}
	return tree
}

// TestRootfsRuns checks that a container runtime can use a root filesystem, and that its owner can delete it.
func TestRootfsRuns(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "rootfs", "--profile", lab.profile, "--env-file", "env", "--writable", "./root")
	checkTimes(t, filepath.Join(dir, "root"))
	r := podmanRun(t, p, dir, "--env-file", "env", "--rootfs", filepath.Join(dir, "root"), "curl", "--version")
	if !strings.HasPrefix(r.stdout, curlVersion(t)) {
		t.Errorf("%v\nwant %q", r, curlVersion(t))
	}
	do(t, p.command(dir, "rm", "-r", "root"))
}

// TestRootfsUmask checks that the tree and its modes depend neither on the user nor on the umask.
func TestRootfsUmask(t *testing.T) {
	var want map[string]string
	for _, p := range []person{lab.user, lab.root} {
		for _, umask := range []string{"000", "022", "077"} {
			dir := p.scratch(t)
			do(t, in("umask "+umask, p.command(dir, lab.program, "rootfs", "--profile", lab.object, "--user", "app:1000", "./root")))
			got := list(t, filepath.Join(dir, "root"))
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("umask %s, as %s (-first run +got):\n%s", umask, p.name, diff)
			}
		}
	}
	if want["tmp"] != "directory 1777" || want["home/app"] == "" {
		t.Errorf("/tmp is %q, /home/app is %q; want a directory 1777 and a directory", want["tmp"], want["home/app"])
	}
}

func curlVersion(t *testing.T) string {
	t.Helper()
	version, _, _ := strings.Cut(do(t, exec.Command(lab.object+"/bin/curl", "--version")).stdout, "\n")
	if !strings.HasPrefix(version, "curl ") {
		t.Fatalf("curl --version = %q", version)
	}
	return version
}
