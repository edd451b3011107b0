package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bookworm is this machine's Debian.
func bookworm() (root string, err error) { return "/", nil }

// trixiePackages are what is tested of the newer Debian, and what that needs and does not say.
var trixiePackages = []string{
	"base-files", "bash", "coreutils", "dash", "mount", "util-linux", "ca-certificates", "iptables",
	"podman", "uidmap", "runc", "containerd", "docker.io", "docker-cli",
}

// trixie is the next Debian, in a directory. Its packages are there, from where apt gets this machine's,
// but nothing is configured: that takes many times as long, and is for services.
// It is kept, since also this is 150 MB to fetch.
var trixie = sync.OnceValues(func() (root string, err error) {
	root = filepath.Join(lab.dir, "trixie")
	list := filepath.Join(root, "etc/packages")
	packages := strings.Join(trixiePackages, ",")
	if b, err := os.ReadFile(list); err == nil && string(b) == packages {
		return root, nil
	}
	mirror, err := output(exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"))
	if err != nil {
		return "", err
	}
	mirror, _, _ = strings.Cut(mirror, "\n")
	for _, old := range []string{root, root + ".new"} {
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	start := time.Now()
	if _, err := output(exec.Command("mmdebstrap", "--mode=root", "--variant=extract",
		"--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", `--aptopt=Acquire::Retries "5"`, "--include="+packages,
		"trixie", root+".new", mirror)); err != nil {
		return "", err
	}
	for _, name := range []string{"proc", "sys", "dev", "run", "tmp", "var/tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(root+".new", name), 0o755); err != nil {
			return "", err
		}
	}
	run := root + ".new/var/run" // a script of a package that is not configured would make the link
	if err := errors.Join(os.RemoveAll(run), os.Symlink("/run", run)); err != nil {
		return "", err
	}
	for _, name := range accountFiles {
		if err := os.WriteFile(filepath.Join(root+".new/etc", name), nil, 0o644); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(root+".new/etc/packages", []byte(packages), 0o644); err != nil {
		return "", err
	}
	fmt.Printf("e2e: trixie from %s in %.0f s\n", mirror, time.Since(start).Seconds())
	return root, os.Rename(root+".new", root)
})

// accountFiles are what both Debians have in common.
var accountFiles = []string{"passwd", "group", "subuid", "subgid"}

// machine is a Debian with mounts and processes of its own. What they keep is in memory, below /run,
// and all of it is gone with the test, however that ends.
// The rest of this machine, its own containers and daemons among it, is out of their reach.
type machine struct {
	env   []string
	first *exec.Cmd
}

// newMachine makes the mounts of a machine over the root and the directory in its first arguments,
// says so on file descriptor 3, and runs the others.
const newMachine = `set -eu
root=$1 lab=$2
shift 2
if [ "$root" = / ]; then
	mount -t proc none /proc
	mount -t tmpfs none /run
	echo ready >&3
	exec "$@" 3>&-
fi
mount --bind "$root" "$root"
mount -t proc none "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for dir in run tmp var/tmp; do mount -t tmpfs none "$root/$dir"; done
mkdir -p "$root$lab"
mount --bind "$lab" "$root$lab"
for file in ` + "%s" + `; do mount --bind "/etc/$file" "$root/etc/$file"; done
cd "$root"
pivot_root . .
umount -l .
echo ready >&3
exec "$@" 3>&-
`

// startMachine starts a machine with its first process, when whose end all others end.
func startMachine(t *testing.T, debian func() (string, error), args ...string) *machine {
	t.Helper()
	root, err := debian()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{env: []string{"HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}}
	script := fmt.Sprintf(newMachine, strings.Join(accountFiles, " "))
	m.first = exec.Command("sh", append([]string{"-c", script, "sh", root, lab.dir}, args...)...)
	m.first.Env, m.first.Dir = m.env, "/"
	m.first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	said, err := os.Create(filepath.Join(lab.root.scratch(t), "said"))
	if err != nil {
		t.Fatal(err)
	}
	m.first.Stdout, m.first.Stderr = said, said
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m.first.ExtraFiles = []*os.File{w}
	err = m.first.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.first.Process.Kill()
		_ = m.first.Wait()
		said.Close()
		if b, err := os.ReadFile(said.Name()); err != nil || t.Failed() {
			t.Logf("%q: %v\n%s", args, err, b)
		}
	})
	if b, err := io.ReadAll(r); err != nil || string(b) != "ready\n" {
		t.Fatalf("the machine is not up: %q, %v", b, err)
	}
	return m
}

// command is one of root's on the machine.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(m.first.Process.Pid), "--mount", "--pid", name}, args...)...)
	cmd.Env = m.env
	return cmd
}

// as is a command that a person runs on the machine, in one of that person's directories.
func (m *machine) as(p person, dir, name string, args ...string) *exec.Cmd {
	cmd := m.command("setpriv", append([]string{
		"--reuid", strconv.Itoa(int(p.uid)), "--regid", strconv.Itoa(int(p.gid)), "--clear-groups",
		"env", "--chdir=" + dir, name,
	}, args...)...)
	cmd.Env = p.env
	return cmd
}

// await runs a command until it succeeds.
func (m *machine) await(t *testing.T, name string, args ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r := try(t, m.command(name, args...))
		if r.status() == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v", r)
		}
	}
}
