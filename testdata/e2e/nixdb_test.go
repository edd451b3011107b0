package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nixObject returns a profile that contains Nix.
func nixObject(t *testing.T) (object string, closure []string) {
	t.Helper()
	work := filepath.Join(lab.dir, "store")
	out := do(t, exec.Command("python3", "debstore.py", filepath.Join(work, "nix"), work, "nix-bin", "coreutils", "dash"))
	object = strings.TrimSpace(out.stdout)
	closure, _, err := queryClosure(object)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(closure)
	return object, closure
}

// useNix checks that real Nix can use a store: it lists the closure, verifies all contents,
// collects garbage without deleting any of the image, and builds.
const useNix = `set -eu
export NIX_CONFIG='sandbox = false
filter-syscalls = false
build-users-group =
substituters ='
# Debian has Nix's own libraries in a directory of their own, and its helpers at a fixed place.
export LD_LIBRARY_PATH=/run/profile/lib/nix NIX_LIBEXEC_DIR=/run/profile/libexec
nix-store -qR /run/profile | sort >/tmp/closure
nix-store --verify --check-contents
cat /tmp/closure
cat >/tmp/x.nix <<'END'
derivation { name = "built"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo hello >$out" ]; }
END
built=$(nix-build --no-out-link /tmp/x.nix)
read line <$built
echo "$line"
nix-collect-garbage -d
test ! -e $built
nix-store --verify --check-contents
test "$(nix-store -qR /run/profile | sort)" = "$(cat /tmp/closure)"
`

func checkNix(t *testing.T, r result, closure []string) {
	t.Helper()
	if want := strings.Join(closure, "\n") + "\nhello\n"; !strings.HasPrefix(r.stdout, want) {
		t.Errorf("%v\nwant it to begin with %s", r, want)
	}
	if strings.Contains(r.stderr, "was modified") || strings.Contains(r.stderr, "disappeared") {
		t.Errorf("%v\nwant no errors", r)
	}
}

// TestNixDatabase checks that Nix in a container can use the image's store.
func TestNixDatabase(t *testing.T) {
	object, closure := nixObject(t)
	p := lab.user
	dir := p.scratch(t)
	p.export(t, dir, "image", "--profile", object, "--with-nix-db", "oci:alone:v1")
	id := strings.TrimSpace(do(t, p.podman(dir, "pull", "-q", "oci:alone:v1")).stdout)
	checkNix(t, podmanRun(t, p, dir, id, "sh", "-c", useNix), closure)
}

// TestNixDatabaseChroot checks that Nix can use the store of a root filesystem that root wrote.
func TestNixDatabaseChroot(t *testing.T) {
	object, closure := nixObject(t)
	p := lab.root
	dir := p.scratch(t)
	p.export(t, dir, "rootfs", "--profile", object, "--with-nix-db", "./root")
	enter := `cd root && mkdir dev proc && mount --rbind /dev dev && mount -t proc proc proc && exec chroot . /bin/sh -c "$1"`
	cmd := p.command(dir, "unshare", "--mount", "sh", "-c", enter, "sh", useNix)
	cmd.Env = []string{"PATH=/run/profile/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root"}
	checkNix(t, do(t, cmd), closure)
}
