package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfileNames checks that a name leads to the same store object as in Nix, through links into an object and out of it again.
func TestProfileNames(t *testing.T) {
	dir := lab.user.scratch(t)
	add := func(name string, links map[string]string) string {
		t.Helper()
		from := filepath.Join(lab.root.scratch(t), name)
		for link, target := range links {
			at := filepath.Join(from, link)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, at); err != nil {
				t.Fatal(err)
			}
		}
		return strings.TrimSpace(do(t, nix("nix-store", "--add", from)).stdout)
	}
	packages := add("system-path", map[string]string{"bin/sh": "bash", "bin/bash": "/bin/bash"})
	system := add("nixos-system-host", map[string]string{
		"sw": packages, "kernel": packages + "/bin/sh", "etc/static": "/etc", "out": filepath.Join(dir, "result"),
	})
	for link, target := range map[string]string{
		"current-system": system,
		"sw":             "current-system/sw",
		"written":        system + "/sw",
		"result":         packages,
		"default":        "default-1-link",
		"default-1-link": packages,
		"deeper/run":     "..",
	} {
		at := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"current-system":               system,
		"current-system/":              system,
		"current-system/sw":            packages,
		"current-system/sw/":           packages,
		"current-system/kernel":        packages,
		"current-system/out":           packages,
		"deeper/run/current-system/sw": packages,
		"sw":                           packages,
		"written":                      system,
		"default":                      packages,
		system + "/sw":                 system,
		system + "/../" + filepath.Base(packages) + "/bin": packages,
	} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name) + strings.Repeat("/", strings.Count(name[len(name)-1:], "/"))
		}
		if got := strings.TrimSpace(do(t, nix("nix", "path-info", name)).stdout); got != want {
			t.Errorf("nix path-info %s = %q; want %q", name, got, want)
		}
		got := do(t, lab.user.command(dir, lab.program, "closure", "--profile", name)).stdout
		if object, _, _ := strings.Cut(got, " "); object != want {
			t.Errorf("closure --profile %s lists %q; want %q", name, object, want)
		}
	}
}
