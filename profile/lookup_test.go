package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestResolveBelowLinks checks names that lead through a link into an object and out of it again.
// The wanted results are those of Nix 2.8 (nix path-info), which only refuses names
// whose last element is no link, or a relative link in a linked directory.
func TestResolveBelowLinks(t *testing.T) {
	base := func(name string) string { return object(name).Base() }
	full := func(name string) string { return string(object(name)) }
	tree := map[string]string{ // links below the root of a file system
		// NixOS: the system, and the packages in it.
		"/run/current-system":                 full("sys"),
		"/nix/var/nix/profiles/system":        "system-1-link",
		"/nix/var/nix/profiles/system-1-link": full("sys"),
		// home-manager.
		"/home/a/.local/state/nix/profiles/home-manager":         "home-manager-1-link",
		"/home/a/.local/state/nix/profiles/home-manager-1-link":  full("gen"),
		"/home/a/.local/state/home-manager/gcroots/current-home": full("gen"),
		// nix profile, devbox and flox.
		"/home/a/.nix-profile":                             "/home/a/.local/state/nix/profiles/profile",
		"/home/a/.local/state/nix/profiles/profile":        "profile-7-link",
		"/home/a/.local/state/nix/profiles/profile-7-link": full("path"),
		"/home/a/web/.devbox/nix/profile/default":          "default-3-link",
		"/home/a/web/.devbox/nix/profile/default-3-link":   full("path"),
		"/home/a/web/.devbox/virtenv/.wrappers":            full("gen") + "/home-path",
		"/home/a/web/.flox/run/x86_64-linux.web.dev":       full("path"),
		"/home/a/web/.flox/run/now":                        "x86_64-linux.web.dev",
		// Links to links.
		"/home/a/via":     "../../run/current-system/sw",
		"/home/a/written": full("sys") + "/sw",
		"/home/a/run":     "/run",
		"/home/a/up":      "run/../home/a/via",
		"/home/a/dot":     "via/.",
		"/home/a/deep":    full("sys") + "/etc",
		"/home/a/lost":    full("lost"),
	}
	objects := map[string]string{ // links in objects
		"sys/sw":        full("path"),
		"sys/kernel":    full("linux") + "/bzImage",
		"sys/beside":    "../" + base("path"),
		"sys/etc/self":  "os-release",
		"sys/out":       "/home/a/.nix-profile",
		"gen/home-path": full("path"),
		"path/bin":      full("linux") + "/bin",
		"path/lib/x.so": "y.so",
	}
	files := []string{"sys/etc/os-release", "path/lib/y.so", "linux/bzImage", "linux/bin/sh"}
	root := t.TempDir()
	link := func(at, target string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	for at, target := range tree {
		link(root+at, target)
	}
	on := func(file string) string {
		name, rest, _ := strings.Cut(file, "/")
		return root + full(name) + "/" + rest
	}
	for at, target := range objects {
		link(on(at), target)
	}
	for _, name := range files {
		if err := os.MkdirAll(filepath.Dir(on(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(on(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := rootedStore{fakeStore{"sys": "", "gen": "", "path": "", "linux": ""}, root}
	for _, test := range []struct {
		in, want string
	}{
		{"/run/current-system", "sys"},
		{"/run/current-system/sw", "path"},
		{"/run/current-system/sw/", "path"},
		{"/run/current-system/kernel", "linux"},
		{"/run/current-system/etc", "sys"},
		{"/run/current-system/etc/os-release", "sys"},
		{"/run/current-system/etc/self", "sys"},
		{"/run/current-system/beside", "path"},
		{"/run/current-system/out", "path"},
		{"/run/current-system/sw/lib/x.so", "path"},
		{"/run/current-system/sw/bin", "linux"},
		{"/run/current-system/sw/bin/sh", "linux"},
		{"/nix/var/nix/profiles/system/sw", "path"},
		{"/home/a/.local/state/nix/profiles/home-manager/home-path", "path"},
		{"/home/a/.local/state/home-manager/gcroots/current-home/home-path", "path"},
		{"/home/a/.nix-profile", "path"},
		{"/home/a/.nix-profile/bin", "linux"},
		{"/home/a/web/.devbox/nix/profile/default", "path"},
		{"/home/a/web/.devbox/virtenv/.wrappers", "gen"},
		{"/home/a/web/.flox/run/x86_64-linux.web.dev", "path"},
		{"/home/a/web/.flox/run/now", "path"},
		{"/home/a/via", "path"},
		{"/home/a/written", "sys"},
		{"/home/a/run/current-system/sw", "path"},
		{"/home/a/up", "path"},
		{"/home/a/dot", "path"},
		{"/home/a/deep", "sys"},
		{full("sys") + "/sw", "sys"},
		{full("sys") + "/../" + base("path") + "/bin", "path"},
	} {
		name := test.in
		if !strings.HasPrefix(name, "/nix/") { // such names belong to the store anyway
			name = root + name
		}
		if got, err := Resolve(t.Context(), s, name); err != nil || got.Path != object(test.want) {
			t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", name, got, err, object(test.want))
		}
	}

	// The object is not on disk, but the store has its files.
	elsewhere := t.TempDir()
	link(elsewhere+"/result", full("p"))
	for _, test := range []struct{ in, want string }{
		{"/result", "p"}, {"/result/bin/sh", "p"}, {"/result/self", "p"}, {"/result/self/sh", "p"}, {"/result/sw", "q"},
	} {
		if got, err := Resolve(t.Context(), fakeStore{"p": "", "q": ""}, elsewhere+test.in); err != nil || got.Path != object(test.want) {
			t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", test.in, got, err, object(test.want))
		}
	}
	link(elsewhere+"/lost", full("lost"))
	for in, want := range map[string]string{
		"/result/gone":       "dangling link: it leads to \"" + full("p") + "/gone\"",
		"/result/sw/nothing": "dangling link: it leads to",
		"/lost/bin/sh":       full("lost"),
	} {
		if got, err := Resolve(t.Context(), fakeStore{"p": "", "q": ""}, elsewhere+in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}
