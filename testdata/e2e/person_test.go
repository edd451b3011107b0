package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// person is a user of this machine who runs commands. The environment is that of a fresh login.
type person struct {
	name     string
	uid, gid uint32
	home     string
	env      []string
}

func makePerson(name string) (p person, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return p, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return p, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return p, err
	}
	p = person{name: name, uid: uint32(uid), gid: uint32(gid), home: filepath.Join(lab.dir, "home", name)}
	// conmon makes sockets there, whose paths must be short: otherwise podman waits 20 s for each container.
	runtime := filepath.Join(lab.dir, "run", u.Uid)
	// Use the kernel's overlay. Without fuse-overlayfs, podman defaults to vfs, which copies all lower layers for each layer.
	storage := filepath.Join(p.home, ".config/containers/storage.conf")
	for _, dir := range []string{p.home, runtime, filepath.Dir(storage)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return p, err
		}
	}
	if err := os.WriteFile(storage, []byte("[storage]\ndriver = \"overlay\"\n"), 0o644); err != nil {
		return p, err
	}
	for _, dir := range []string{p.home, runtime} {
		if err := p.own(dir); err != nil {
			return p, err
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return p, err
		}
	}
	p.env = []string{
		"HOME=" + p.home, "USER=" + name, "LOGNAME=" + name, "XDG_RUNTIME_DIR=" + runtime,
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8",
	}
	return p, nil
}

// own makes the person the owner of a directory and all files in it.
func (p person) own(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(p.uid), int(p.gid))
	})
}

// with returns the person with additional or changed environment variables.
func (p person) with(env ...string) person {
	p.env = append(p.env[:len(p.env):len(p.env)], env...)
	return p
}

func (p person) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.gid, Groups: []uint32{p.gid}}}
	return cmd
}

// result holds the output and exit status of a command.
type result struct {
	args           []string
	stdout, stderr string
	state          *os.ProcessState
}

func (r result) String() string {
	return fmt.Sprintf("%q: %v\nstdout: %s\nstderr: %s", r.args, r.state, r.stdout, r.stderr)
}

func (r result) status() int { return r.state.ExitCode() }

// signal returns the signal that killed the command, or 0.
func (r result) signal() syscall.Signal {
	if ws := r.state.Sys().(syscall.WaitStatus); ws.Signaled() {
		return ws.Signal()
	}
	return 0
}

// try runs a command, which may fail.
func try(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return result{cmd.Args, stdout.String(), stderr.String(), cmd.ProcessState}
}

// do runs a command that must succeed. If it writes an image, do verifies the image.
func do(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	r := try(t, cmd)
	if r.status() != 0 {
		t.Fatalf("%v", r)
	}
	verifyWritten(t, cmd, r.stdout)
	return r
}

// export runs export-profile, which must succeed, and returns its output.
func (p person) export(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(do(t, p.command(dir, lab.program, args...)).stdout)
}

// scratch makes a temporary directory that the person owns and any user may enter.
// Its path contains no capitals, since podman 4.3 derives the name of an image from it.
func (p person) scratch(t *testing.T) string {
	t.Helper()
	top := filepath.Join(lab.dir, "tmp")
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(top, "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.own(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// in returns a command that runs cmd in a shell, after a line of shell code.
func in(line string, cmd *exec.Cmd) *exec.Cmd {
	shell := exec.Command("sh", append([]string{"-c", line + ` && exec "$@"`, "sh"}, cmd.Args...)...)
	shell.Dir, shell.Env, shell.Stdin, shell.SysProcAttr = cmd.Dir, cmd.Env, cmd.Stdin, cmd.SysProcAttr
	return shell
}

// without returns a command for which a directory of this machine looks empty.
// The rest of the machine is not affected: the command has its own mount namespace.
func (p person) without(hidden, dir, name string, args ...string) *exec.Cmd {
	line := fmt.Sprintf(`mount -t tmpfs none %s && exec setpriv --reuid %d --regid %d --clear-groups "$@"`, hidden, p.uid, p.gid)
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", line, "sh", name}, args...)...)
	cmd.Dir, cmd.Env = dir, p.env
	return cmd
}

// writeFile writes a file that all users may read.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
