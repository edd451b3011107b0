package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// machine is a root directory in which the program runs as on a machine of its own.
type machine struct{ root string }

// newMachine writes the store of a sample, its database, and links. Without a sample the machine has no store.
func newMachine(t *testing.T, s *storetest.Sample, links map[string]string) *machine {
	t.Helper()
	m := &machine{t.TempDir()}
	if s != nil {
		m.root = s.WriteDatabase(t)
	}
	for name, target := range links {
		m.link(t, name, target)
	}
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(m.root+"/export-profile", b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) link(t *testing.T, name, target string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.root+name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, m.root+name); err != nil {
		t.Fatal(err)
	}
}

// run runs the program as the user alice. It skips the test if this user may not use chroot, not even in a user namespace.
func (m *machine) run(t *testing.T, args ...string) (out, said string, ok bool) {
	t.Helper()
	cmd := exec.Command("/export-profile", append(args, "--no-cache")...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/home/alice", "USER=alice"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("chroot: %v", err)
	}
	return stdout.String(), stderr.String(), err == nil
}

// TestGuixMachine checks that the program finds the store of a machine with Guix, and the profiles there.
func TestGuixMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.NewIn("guix", guix)
	hello := s.Add(t, "hello-2.12", "", "d .", "d bin", "f 0555 bin/hello #!x")
	current := s.Add(t, "guix-current", "", "d .")
	system := s.Add(t, "system-profile", "hello-2.12", "d .", "l bin "+string(hello)+"/bin")
	host := s.Add(t, "system", "system-profile", "d .", "l profile "+string(system))
	mine := s.Add(t, "profile", "hello-2.12", "d .", "l bin "+string(hello)+"/bin")
	m := newMachine(t, s, map[string]string{
		"/run/current-system": string(host),
		"/var/guix/profiles/per-user/alice/guix-profile-1-link": string(mine),
		"/var/guix/profiles/per-user/alice/guix-profile":        "guix-profile-1-link",
		"/var/guix/profiles/per-user/alice/current-guix-7-link": string(current),
		"/var/guix/profiles/per-user/alice/current-guix":        "current-guix-7-link",
		"/home/alice/.config/guix/current":                      "/var/guix/profiles/per-user/alice/current-guix",
	})
	check := func(want string, args ...string) {
		t.Helper()
		if out, said, ok := m.run(t, append([]string{"closure"}, args...)...); !ok || !strings.Contains(out, want) {
			t.Errorf("closure %q prints %q, %q; want %q", args, out, said, want)
		}
	}
	fails := func(want, hint string, args ...string) {
		t.Helper()
		_, said, ok := m.run(t, append([]string{"closure"}, args...)...)
		if first, rest, _ := strings.Cut(said, "\n"); ok || !strings.Contains(first, want) || !strings.HasPrefix(rest, "export-profile: hint: "+hint+"\n") {
			t.Errorf("closure %q says %q; want an error with %q and the hint %q", args, said, want, hint)
		}
	}

	check(string(mine))
	m.link(t, "/home/alice/.guix-profile", "/var/guix/profiles/per-user/alice/guix-profile")
	check(string(mine))
	check(string(mine), "--profile", "/home/alice/.guix-profile")
	check(string(mine), "--profile", "/var/guix/profiles/per-user/alice/guix-profile")
	check(string(current), "--profile", "/home/alice/.config/guix/current")
	check(string(system), "--profile", "/run/current-system/profile")
	check(string(host), "--profile", "/run/current-system")

	// The user's profile is found in the store that is read. With both stores, that is Nix's.
	nix := storetest.Tiny(t)
	nix.AddDatabase(t, m.root)
	for _, info := range nix.Infos {
		at := m.root + string(info.Path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", nix.WriteRoot(t)+string(info.Path), at).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v\n%s", err, out)
		}
	}
	fails(`find profile: none of "/home/alice/.nix-profile", `, "say --store-dir /gnu/store to take /home/alice/.guix-profile")
	fails(`leads out of the store`, "say --store-dir /gnu/store if that is a store path", "--profile", "/home/alice/.guix-profile")
	check(string(mine), "--store-dir", "/gnu/store")
	check(string(nix.Root), "--profile", string(nix.Root))

	// The whole system is no default, but the hint names it.
	for _, name := range []string{"/home/alice/.guix-profile", "/var/guix/profiles/per-user/alice/guix-profile"} {
		if err := os.Remove(m.root + name); err != nil {
			t.Fatal(err)
		}
	}
	fails(`find profile: none of "/home/alice/.guix-profile", "/var/guix/profiles/per-user/alice/guix-profile" exists`,
		"name another one, as in --profile /run/current-system/profile", "--store-dir", "/gnu/store")
}

// TestGuixNode checks that a machine with the files of a store and without its database, such as a node of a cluster, can read the store if told to.
func TestGuixNode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.NewIn("guix", guix)
	hello := s.Add(t, "hello-2.12", "", "d .", "d bin", "f 0555 bin/hello #!x")
	mine := s.Add(t, "profile", "hello-2.12", "d .", "l bin "+string(hello)+"/bin")
	m := newMachine(t, s, map[string]string{
		"/home/alice/.guix-profile":                      "/var/guix/profiles/per-user/alice/guix-profile",
		"/var/guix/profiles/per-user/alice/guix-profile": string(mine),
	})
	if err := os.RemoveAll(m.root + "/var/guix/db"); err != nil {
		t.Fatal(err)
	}
	const hint = "hint: read the files of the store without its database: --from /gnu/store --profile PROFILE\n"
	for _, args := range [][]string{nil, {"--store-dir", "/gnu/store"}, {"--profile", string(mine)}} {
		if _, said, ok := m.run(t, append([]string{"closure"}, args...)...); ok || !strings.Contains(said, "no store database") || !strings.Contains(said, hint) {
			t.Errorf("closure %q says %q; want that there is no database, and the hint %q", args, said, hint)
		}
	}
	for _, from := range []string{"/gnu/store", "/", "local?root=/"} {
		out, said, ok := m.run(t, "closure", "--from", from, "--profile", "/home/alice/.guix-profile")
		if !ok || !strings.Contains(out, string(hello)) || !strings.Contains(said, "scanning for references") {
			t.Errorf("closure --from %s prints %q, %q; want the closure and a note", from, out, said)
		}
	}
}
