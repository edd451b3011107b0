package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestForeignCache: nobody else decides what is in an image. A cache of another user is refused if it is named,
// also if only a part of it is, and otherwise it is not used.
func TestForeignCache(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to somebody else")
	}
	const somebody = 12345
	golden := storetest.File(t, "basic.nix-export")
	dir := t.TempDir()
	theirs, part := filepath.Join(dir, "theirs"), filepath.Join(dir, "part")
	for _, d := range []string{theirs, part, filepath.Join(part, "layers-1")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{theirs, filepath.Join(part, "layers-1")} {
		if err := os.Chown(d, somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{theirs, part} {
		for _, args := range [][]string{
			{"image", "--cache", d, "--from", golden, "oci:" + filepath.Join(dir, "x")},
			{"closure", "--cache", d, "--from", golden},
			{"verify", "--cache", d, "oci:" + filepath.Join(dir, "x")},
			{"cache", "prune", "--all", "--cache", d},
		} {
			out, said, status := invoke(t, "", args...)
			if status != 1 || out != "" || !strings.Contains(said, "it belongs to user 12345, and this runs as user 0") ||
				!strings.Contains(said, "hint: name another directory with --cache") {
				t.Errorf("%s exits with %d, prints %q and says %q; want 1, nothing and whose it is", args, status, out, said)
			}
		}
	}

	t.Setenv("XDG_CACHE_HOME", dir)
	if err := os.Rename(theirs, filepath.Join(dir, "export-profile")); err != nil {
		t.Fatal(err)
	}
	_, said, status := invoke(t, "", "image", "--from", golden, "oci:"+filepath.Join(dir, "x"))
	if status != 0 || !strings.Contains(said, "note: without a cache, this takes longer: open cache") || !strings.Contains(said, "user 12345") {
		t.Errorf("image exits with %d and says %q; want 0 and a note", status, said)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "export-profile")); err != nil || len(entries) > 0 {
		t.Errorf("in the cache of somebody else there is %v, %v; want nothing", entries, err)
	}
}
