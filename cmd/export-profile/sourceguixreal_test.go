package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/decompress"
)

// This file reads what real Guix made; see testdata/guix/README.md of the repository.

const (
	guixData    = "../../testdata/guix/"
	guixProfile = "/gnu/store/677rp1g6fb70nfnp3lr41iqr8aw3rfm0-profile"
	guixLinks   = "/var/guix/profiles/per-user/root/guix-profile"
)

// TestRealGuix checks that a closure of real Guix has one digest in every form of Guix.
func TestRealGuix(t *testing.T) {
	signed := func(from, key string) []string {
		return []string{"--from", from, "--require-sigs", "--trusted-public-key", guixData + key}
	}
	machine := unpackGuix(t, "store")
	forms := map[string][]string{
		"machine":                {"--from", machine},
		"machine, default":       {"--from", machine, "--profile="},
		"machine, link":          {"--from", machine, "--profile", guixLinks},
		"tar, link":              {"--from", guixData + "store.tar.xz", "--profile", guixLinks + "-2-link"},
		"archive, Ed25519":       signed(guixData+"archive-ed25519.xz", "ed25519.pub"),
		"archive, RSA":           signed(guixData+"archive-rsa.xz", "rsa.pub"),
		"archive, acl":           signed(guixData+"archive-rsa.xz", "acl"),
		"archive, no signatures": {"--from", guixData + "archive-unsigned.xz"},
		"archives, chained":      append(signed(guixData+"archive-alone.xz", "acl"), "--from", guixData+"archive-ed25519.xz"),
	}
	for _, name := range []string{"publish", "publish-cached"} {
		dir := unpackGuix(t, name)
		forms[name] = signed(serve(t, dir), "ed25519.pub")
		forms[name+", copied"] = signed(dir, "ed25519.pub")
		for _, compression := range []string{"gzip", "lzip", "zstd"} {
			forms[name+", copied, "+compression] = signed(onlyCompression(t, name, compression), "acl")
		}
	}
	want := guixImage(t, "--from", guixData+"store.tar.xz")
	for name, flags := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := guixImage(t, flags...); got != want {
				t.Errorf("digest %q; want %q", got, want)
			}
		})
	}
	env := filepath.Join(t.TempDir(), "env")
	root := cleanUp(t, filepath.Join(t.TempDir(), "root"))
	succeed(t, "", "rootfs", root, "--quiet", "--no-cache", "--from", machine, "--profile", guixLinks, "--env-file", env)
	vars := "PATH=/run/profile/bin:" + guixProfile + "/bin\nSSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt\nSSL_CERT_DIR=/etc/ssl/certs\n" +
		"FAREWELL_PATH=" + guixProfile + "/etc/farewell\n"
	if b, err := os.ReadFile(env); err != nil || string(b) != vars {
		t.Errorf("the variables are %q, %v; want %q, <nil>", b, err, vars)
	}
	if first := guixImage(t, "--from", machine, "--profile", guixLinks+"-1-link"); first == want {
		t.Error("the profile's generation 1 has the digest of generation 2")
	}
	_, said, status := invoke(t, "", "closure", "--profile", guixProfile, "--from", guixData+"archive-alone.xz")
	if hint := "hint: export the whole closure of the profile: guix archive --export -r PROFILE\n"; status != 1 || !strings.Contains(said, hint) {
		t.Errorf("closure of an archive without -r exits with %d and says %q; want 1 and %q", status, said, hint)
	}
	for _, from := range []string{guixData + "archive-ed25519.xz", unpackGuix(t, "publish")} {
		args := append([]string{"closure", "--no-cache", "--profile", guixProfile}, signed(from, "rsa.pub")...)
		if _, said, status := invoke(t, "", args...); status != 1 || !strings.Contains(said, "find closure: 10 not trusted:\n") {
			t.Errorf("export-profile %q exits with %d and says %q; want 1 and 10 paths that are not trusted", args, status, said)
		}
	}
}

// guixImage makes an image of a profile of Guix, and returns its digest.
func guixImage(t *testing.T, flags ...string) string {
	t.Helper()
	args := []string{"image", "--quiet", "--no-cache", "--platform=linux/amd64", "oci:" + t.TempDir()}
	switch {
	case flags[len(flags)-1] == "--profile=":
		flags = flags[:len(flags)-1]
	case !strings.Contains(strings.Join(flags, " "), "--profile"):
		flags = append(flags, "--profile", guixProfile)
	}
	return succeed(t, "", append(args, flags...)...)
}

// unpackGuix unpacks a tar of testdata.
func unpackGuix(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(guixData + name + ".tar.xz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := decompress.NewReader("xz", f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := cleanUp(t, filepath.Join(t.TempDir(), name))
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(entries)
		}
		at := filepath.Join(dir, h.Name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(at), 0o755)
		}
		if err == nil {
			switch h.Typeflag {
			case tar.TypeDir:
				err = os.MkdirAll(at, 0o755)
			case tar.TypeSymlink:
				err = os.Symlink(h.Linkname, at)
			default:
				err = os.WriteFile(at, content, os.FileMode(h.Mode).Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// onlyCompression unpacks answers of guix publish, without the NARs of other compressions.
// The narinfos name them still, since they are signed.
func onlyCompression(t *testing.T, name, compression string) string {
	t.Helper()
	dir := unpackGuix(t, name)
	for _, other := range []string{"gzip", "lzip", "zstd"} {
		if other != compression {
			if err := os.RemoveAll(filepath.Join(dir, "nar", other)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
