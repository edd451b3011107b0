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

// bookworm returns the root of this machine's Debian.
func bookworm() (root string, err error) { return "/", nil }

// trixiePackages are the tested packages of the newer Debian, and their undeclared dependencies.
var trixiePackages = []string{
	"base-files", "bash", "coreutils", "dash", "mount", "util-linux", "ca-certificates", "iptables",
	"podman", "uidmap", "runc", "containerd", "docker.io", "docker-cli", "nix-bin",
}

// trixie installs the next Debian in a directory, with packages from this machine's mirror.
// The packages are extracted but not configured: that takes much longer, and only services need it.
// The directory is kept for later runs, since even so it needs a download of 150 MB.
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
	run := root + ".new/var/run" // normally made when a package is configured
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

// accountFiles are the files that both Debians share.
var accountFiles = []string{"passwd", "group", "subuid", "subgid"}

// machine is a Debian with its own mounts and processes. Their data is in memory, below /run,
// and disappears with the test, however that ends.
// The processes cannot reach the rest of this machine, such as its containers and daemons.
type machine struct {
	env   []string
	first *exec.Cmd
}

// newMachine is a shell script. It mounts a machine's file systems over the root and directory in its first arguments,
// reports on file descriptor 3 that it is ready, and runs the other arguments.
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

// startMachine starts a machine with its first process. When that process ends, all others end too.
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
		t.Fatalf("the machine did not start: %q, %v", b, err)
	}
	return m
}

// command returns a command that root runs on the machine.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(m.first.Process.Pid), "--mount", "--pid", name}, args...)...)
	cmd.Env = m.env
	return cmd
}

// as returns a command that a person runs on the machine, in one of that person's directories.
func (m *machine) as(p person, dir, name string, args ...string) *exec.Cmd {
	cmd := m.command("setpriv", append([]string{
		"--reuid", strconv.Itoa(int(p.uid)), "--regid", strconv.Itoa(int(p.gid)), "--clear-groups",
		"env", "--chdir=" + dir, name,
	}, args...)...)
	cmd.Env = p.env
	return cmd
}

// await repeats a command until it succeeds.
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
