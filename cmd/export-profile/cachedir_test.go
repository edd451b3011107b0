package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestForeignCache checks that no other user decides what is in an image. A cache of another user, or with a part of
// another user's, is refused if --cache names it, and ignored otherwise.
func TestForeignCache(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	const other = 12345
	golden := storetest.File(t, "basic.nix-export")
	dir := t.TempDir()
	theirs, part := filepath.Join(dir, "theirs"), filepath.Join(dir, "part")
	for _, d := range []string{theirs, part, filepath.Join(part, "layers-1")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{theirs, filepath.Join(part, "layers-1")} {
		if err := os.Chown(d, other, other); err != nil {
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
				t.Errorf("%s exits with %d, prints %q and says %q; want 1, nothing and its owner", args, status, out, said)
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
		t.Errorf("the cache of another user has %v, %v; want nothing", entries, err)
	}
}

// TestNoSpool checks that the hint names --cache if temporary files cannot be made, also with --no-cache.
func TestNoSpool(t *testing.T) {
	s, key := storetest.Tiny(t).Signed("signer-1")
	server := serve(t, s.WriteCache(t, "zstd"))
	dest := filepath.Join(t.TempDir(), "x")
	out, said, status := invoke(t, "", "image", "--no-cache", "--cache=/dev/null/x", "--platform=linux/amd64", "--quiet",
		"--profile", string(s.Root), "--trusted-public-key", key, "--from", server, "oci:"+dest)
	if status != 1 || out != "" || !strings.Contains(said, "make spool") || !strings.Contains(said, "temporary files with --cache") {
		t.Errorf("exit status %d, %q on standard output, and it says %q; want 1, nothing, and a hint at --cache", status, out, said)
	}
	golden, stdin := storetest.File(t, "basic.nix-export"), storetest.WriteCompressed(t, "gzip", storetest.File(t, "basic.nix-export"))
	for _, args := range [][]string{
		{"image", "--quiet", "--from", golden, "--add=-:/stdin", "oci:" + dest},
		{"closure", "--from", "oci-archive:-"},
	} {
		out, said, status := invoke(t, stdin, append(args, "--no-cache", "--cache=/dev/null/x")...)
		if status != 1 || out != "" || !strings.Contains(said, "make spool") || !strings.Contains(said, "temporary files with --cache") {
			t.Errorf("%s: exit status %d, %q on standard output, and it says %q; want 1, nothing, and a hint at --cache", args[0], status, out, said)
		}
	}
}
