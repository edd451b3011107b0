package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestNoSpool checks that the error names --cache if temporary files cannot be made, also with --no-cache.
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
