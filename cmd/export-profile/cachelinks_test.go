package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestCacheLinks checks that a run writes through no link in a cache that other users may write into, and waits for no pipe.
func TestCacheLinks(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	dir := t.TempDir()
	shared, victim := filepath.Join(dir, "shared"), filepath.Join(dir, "victim")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(victim, old, old); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(shared, trimmedName)
	if err := os.Symlink(victim, mark); err != nil {
		t.Fatal(err)
	}
	tv := unix.NsecToTimeval(old.UnixNano())
	if err := unix.Lutimes(mark, []unix.Timeval{tv, tv}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(shared, "CACHEDIR.TAG"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, said, status := invoke(t, "", "rootfs", "-q", "--cache", shared, "--from", golden, "tar:"+filepath.Join(dir, "root.tar")); status != 0 {
		t.Fatalf("rootfs exits with %d and says %q; want 0", status, said)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("the file behind the link has %q, %v; want it unchanged", b, err)
	}
	if fi, err := os.Stat(victim); err != nil || time.Since(fi.ModTime()) < time.Hour {
		t.Errorf("the file behind the link has the time %v, %v; want it unchanged", fi.ModTime(), err)
	}
	done := make(chan string, 1)
	go func() {
		_, said, _ := invoke(t, "", "cache", "prune", "--cache", shared)
		done <- said
	}()
	select {
	case said := <-done:
		if said != "" && !strings.Contains(said, "CACHEDIR.TAG") {
			t.Errorf("cache prune says %q", said)
		}
	case <-time.After(10 * time.Second):
		t.Error("cache prune waits for a pipe in place of CACHEDIR.TAG")
	}
}

// TestCacheParts checks that a cache in its usual place is not used if others may write into a part of it.
func TestCacheParts(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	for _, part := range []string{"layers-1", "facts", "narinfo", "layers-1/parts", "layers-1/packed", "layers-1/blobs"} {
		for _, link := range []bool{false, true} {
			home := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", home)
			dir := filepath.Join(home, "export-profile", part)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if link {
				elsewhere := filepath.Join(home, "elsewhere")
				if err := os.Rename(dir, elsewhere); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(elsewhere, dir); err != nil {
					t.Fatal(err)
				}
			}
			image := func() string {
				_, said, status := invoke(t, "", "image", "--from", golden, "oci:"+filepath.Join(t.TempDir(), "x"))
				if status != 0 {
					t.Fatalf("image exits with %d and says %q; want 0", status, said)
				}
				return said
			}
			if said := image(); strings.Contains(said, "note: without a cache") {
				t.Errorf("with a private %s, link: %v: %q; want the cache used", part, link, said)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if said := image(); !strings.Contains(said, "note: without a cache") || !strings.Contains(said, part+`": others may write into it`) {
				t.Errorf("with a shared %s, link: %v: %q; want a note that names it", part, link, said)
			}
		}
	}
}

// TestForeignLink checks that a link of another user does not choose where a cache is, and that a part of a cache
// does not lead to a directory of another user.
func TestForeignLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a link to another user")
	}
	const other = 12345
	golden := storetest.File(t, "basic.nix-export")
	dir := t.TempDir()
	own, link, part := filepath.Join(dir, "own"), filepath.Join(dir, "link"), filepath.Join(dir, "part")
	for _, d := range []string{own, part, filepath.Join(dir, "theirs")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "theirs"), filepath.Join(part, "layers-1")); err != nil {
		t.Fatal(err)
	}
	image := func(cache string) (string, int) {
		_, said, status := invoke(t, "", "image", "--cache", cache, "--from", golden, "oci:"+filepath.Join(t.TempDir(), "x"))
		return said, status
	}
	if said, status := image(link); status != 0 {
		t.Errorf("with a link of this user: status %d, %q; want 0", status, said)
	}
	if err := os.Lchown(link, other, other); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "theirs"), other, other); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{link, part} {
		if said, status := image(cache); status != 1 || !strings.Contains(said, "it belongs to user 12345") {
			t.Errorf("--cache %s: status %d, %q; want 1 and the owner", filepath.Base(cache), status, said)
		}
	}
}
