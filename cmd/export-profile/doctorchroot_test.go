package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// doctorOn runs doctor as alice on a machine of its own, in its home directory. It returns the text behind the first line, and the exit status.
func doctorOn(t *testing.T, m *machine) (out string, status int) {
	t.Helper()
	if err := os.MkdirAll(m.root+"/home/alice", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/export-profile", "doctor")
	cmd.Dir, cmd.Env = "/home/alice", []string{"HOME=/home/alice", "USER=alice"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Skipf("chroot: %v", err)
	}
	_, rest, _ := bytes.Cut(stdout.Bytes(), []byte("\n"))
	return string(freeSpace.ReplaceAll(rest, []byte("9.99 GB free"))), cmd.ProcessState.ExitCode()
}

// freeSpace matches what depends on the machine of the test.
var freeSpace = regexp.MustCompile(`[0-9.]+ [kMG]?B free`)

const emptyMachine = `
cache
  ~/.cache/export-profile: the first image will make it
  9.99 GB free for temporary files in ~/.cache/export-profile

registries
  no logins
  problem: this machine has no certificates of authorities, so docker:// and https:// fail
     hint: install ca-certificates, or name a PEM file in SSL_CERT_FILE

container tools
  none: an image can still go into a layout, a file or a registry
`

// TestDoctorMachine checks all that doctor prints on machines with nothing but a store of Nix or Guix, or none.
func TestDoctorMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	gnu, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	nix, guix := storetest.GoldenSample(t), storetest.TinyIn(t, gnu)
	tiny := string(guix.Root)
	for _, test := range []struct {
		name    string
		machine *machine
		want    string
		status  int
	}{
		{"Nix", newMachine(t, nix, map[string]string{"/nix/var/nix/profiles/default": string(storetest.GoldenProfile)}), `
store
  /nix/store, of Nix: 6 store paths

packages
  /nix/var/nix/profiles/default is /nix/store/81bxdbdx9ndqilgq6wn7y9y0zdfaxli1-user-environment, with 5 programs
` + emptyMachine + `
To make an image of this user's profile, as a layout in a directory:
  export-profile image oci:profile:v1
`, 0},
		{"Nix without a profile", newMachine(t, nix, nil), `
store
  /nix/store, of Nix: 6 store paths

packages
  no profile, no result link, and no file here that --from reads
` + emptyMachine + `
There is a store here, but nothing says what of it the image should have. Make a result link, or name a store path:
  nix-build '<nixpkgs>' -A hello && export-profile doctor
  export-profile image --profile /nix/store/…-hello-1.0 oci:hello:v1

An image of a program that needs no packages:
  export-profile image --no-profile --add ./server:/bin/server --entrypoint /bin/server oci:server:v1
`, 3},
		{"Guix", newMachine(t, guix, map[string]string{
			"/home/alice/.guix-profile":                             "/var/guix/profiles/per-user/alice/guix-profile",
			"/var/guix/profiles/per-user/alice/guix-profile":        "guix-profile-3-link",
			"/var/guix/profiles/per-user/alice/guix-profile-3-link": tiny,
			"/var/guix/profiles/per-user/alice/current-guix-1-link": tiny,
			"/var/guix/profiles/per-user/alice/guix-profile-1-link": tiny,
		}), `
store
  /gnu/store, of Guix: 2 store paths

packages
  ~/.guix-profile is ` + tiny + `, with 0 programs; generation 3, 2 are kept
` + emptyMachine + `
To make an image of this user's profile, as a layout in a directory:
  export-profile image oci:tiny:v1
`, 0},
		{"neither", newMachine(t, nil, nil), `
store
  none: there is no /nix/store and no /gnu/store

packages
  no profile, no result link, and no file here that --from reads
` + emptyMachine + `
There is nothing here to make an image of. On a machine with Nix or Guix, one of:
  nix-store --export $(nix-store -qR ./result) > hello.export
  guix archive --export -r $(readlink -f ~/.guix-profile) > hello.export

Then here, beside that file:
  export-profile doctor

An image of a program that needs no packages:
  export-profile image --no-profile --add ./server:/bin/server --entrypoint /bin/server oci:server:v1
`, 3},
	} {
		out, status := doctorOn(t, test.machine)
		if d := cmp.Diff(test.want, out); d != "" || status != test.status {
			t.Errorf("%s: doctor exits with %d; want %d (-want +got):\n%s", test.name, status, test.status, d)
		}
	}
}
