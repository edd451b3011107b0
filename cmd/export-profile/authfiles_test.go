package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAuthFilesWithoutRuntime expects the files that podman 4.3 and skopeo 1.9 were seen to write.
func TestAuthFilesWithoutRuntime(t *testing.T) {
	root, uid := t.TempDir(), os.Getuid()
	if uid == 0 {
		uid = 1002 // directories of root are not this user's
	}
	id := strconv.Itoa(uid)
	in := func(names ...string) []string {
		for i, name := range names {
			names[i] = filepath.Join(root, name)
		}
		return names
	}
	shared := "run/containers/" + id + "/auth.json"
	check := func(what string, uid int, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, authFilesWithoutRuntime(root, uid)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("nothing there", uid, in(shared))
	check("root", 0, in("run/containers/0/auth.json"))

	user, tmp := filepath.Join(root, "run/user", id), filepath.Join(root, "tmp/podman-run-"+id)
	for _, dir := range []string{user, tmp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		check("directories of another user", uid, in(shared))
		for _, dir := range []string{user, tmp} {
			if err := os.Chown(dir, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := []string{"run/user/" + id + "/containers/auth.json", "tmp/podman-run-" + id + "/containers/auth.json"}
	check("directories of this user", uid, in(shared, both[0], both[1]))

	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	check("a directory that others may write to", uid, in(shared, both[0]))
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(user, tmp); err != nil {
		t.Fatal(err)
	}
	check("a link", uid, in(shared, both[0]))

	if os.Getuid() != 0 { // root may look everywhere
		if err := os.MkdirAll(filepath.Join(root, "run/containers"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, "run/containers"), 0); err != nil {
			t.Fatal(err)
		}
		check("a directory of root's podman", uid, in(both[0]))
	}
}
