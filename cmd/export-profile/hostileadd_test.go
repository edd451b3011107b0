package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestHostileAdd checks that a tar of --add whose link leads out of its place is an error that names the link,
// and that nothing is left at the destination.
func TestHostileAdd(t *testing.T) {
	golden, dir := storetest.File(t, "basic.nix-export"), t.TempDir()
	file := filepath.Join(dir, "x.tar")
	b := rootfstest.Tar(t, rootfstest.TarMember{Name: "l", Type: tar.TypeSymlink, Target: "/etc"}, rootfstest.TarMember{Name: "l/passwd", Content: "root::0:0::/:\n"})
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for command, dest := range map[string]string{"image": "oci:" + filepath.Join(dir, "image"), "rootfs": filepath.Join(dir, "root")} {
		out, said, status := invoke(t, "", command, "-q", "--no-cache", "--from", golden, "--add", file+":/srv", dest)
		if want := `"l/passwd" in the tar: its link "/srv/l" leads to "/etc/passwd", out of "/srv"`; status != 1 || out != "" || !strings.Contains(said, want) {
			t.Errorf("%s: status %d, %q on standard output, and it says %q; want 1, nothing, and %s", command, status, out, said, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside the tar there are %v, %v; want nothing", left, err)
	}
	// The image's root is a place that nothing leads out of.
	_, said, status := invoke(t, "", "rootfs", "-q", "--no-cache", "--from", golden, "--add", file+":/", "tar:"+filepath.Join(dir, "root.tar"))
	if status != 0 {
		t.Errorf("rootfs with the tar at /: status %d, and it says %q; want 0", status, said)
	}
}
