package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// TestGuixHints checks that errors about a store of Guix name its commands and paths.
func TestGuixHints(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	archive := guixData + "archive-ed25519.xz"
	machine, cache := unpackGuix(t, "store"), unpackGuix(t, "publish")
	withoutNARs := unpackGuix(t, "publish")
	if err := staging.RemoveAll(filepath.Join(withoutNARs, "nar")); err != nil {
		t.Fatal(err)
	}
	const stream = "nix-store --export $(nix-store -qR PROFILE) > FILE, or guix archive --export -r PROFILE > FILE"
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"no stream", []string{"--from", write("text", "hello")}, 1, "hint: make an export stream with: " + stream + "\n"},
		{"an empty stream", []string{"--from", write("empty", strings.Repeat("\x00", 8))}, 1,
			"error: find default profile: no store paths in it\nexport-profile: hint: it was made without a profile; make an export stream with: " + stream + "\n"},
		{"no source", []string{"--from", filepath.Join(dir, "gone")}, 1, "make a file with: " + stream + "\n"},
		{"no references", []string{"--from", archive, "--references", filepath.Join(dir, "gone")}, 1,
			"hint: write the references with: nix path-info --json -r PROFILE > FILE\n"},
		{"references of Nix", []string{"--from", archive, "--references", storetest.File(t, "basic.registration")}, 1,
			"hint: leave out --references: Guix writes none, and its store, streams and servers have them\n"},
		{"a store path as a source", []string{"--from", machine + guixProfile}, 1,
			"hint: it is a store path, and --from names a store: --from " + machine + "/gnu/store --profile 677rp1g6fb70nfnp3lr41iqr8aw3rfm0-profile\n"},
		{"another state", []string{"--from", "local?real=" + machine + "/gnu/store&state=" + machine + "/var"}, 1,
			"hint: state=DIR names the directory with db/db.sqlite in it, such as /nix/var/nix or /var/guix\n"},
		{"no profile", []string{"--no-check-sigs", "--from", serve(t, cache)}, 1, "hint: name the profile with --profile, as in --profile /gnu/store/…-hello-1.0\n"},
		{"several profiles", []string{"--from", cache}, 1, "hint: choose with --profile 677rp1g6fb70nfnp3lr41iqr8aw3rfm0-profile\n"},
		{"no file of keys", []string{"--from", archive, "--trusted-public-key", filepath.Join(dir, "gone.pub")}, 2,
			"error: --trusted-public-key: public key: neither the name of a file nor of the form name:base64\n"},
		{"no NARs", []string{"--no-check-sigs", "--from", serve(t, withoutNARs), "--profile", guixProfile}, 1, "hint: add a source that has it with another --from\n"},
	} {
		args := append([]string{"rootfs", "--no-cache", filepath.Join(dir, "root")}, test.args...)
		if _, said, status := invoke(t, "", args...); status != test.status || !strings.Contains(said, test.says) {
			t.Errorf("%s: export-profile %q exits with %d and says\n%swant %d and %q", test.name, args, status, said, test.status, test.says)
		}
	}
}
