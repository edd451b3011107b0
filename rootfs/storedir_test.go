package rootfs

import (
	"strings"
	"testing"
)

func TestParseStoreDir(t *testing.T) {
	for _, test := range []struct{ in, root, err string }{
		{in: "/nix/store", root: "nix/store"},
		{in: "/gnu/store", root: "gnu/store"},
		{in: "/opt/nix/store", root: "opt/nix/store"},
		{in: "/store", root: "store"},
		{in: "/home/a.b/.local/share/nix-1+x_y/store", root: "home/a.b/.local/share/nix-1+x_y/store"},
		{in: "", err: "want an absolute path"},
		{in: "nix/store", err: "want an absolute path"},
		{in: "/", err: "the root directory cannot be one"},
		{in: "/nix/store/", err: "want it as /nix/store"},
		{in: "/nix//store", err: "want it as /nix/store"},
		{in: "/nix/../etc", err: "want it as /etc"},
		{in: "/etc", err: "/etc is for other files"},
		{in: "/etc/passwd", err: "/etc is for other files"},
		{in: "/run/profile", err: "/run is for other files"},
		{in: "/run", err: "/run is for other files"},
		{in: "/tmp/store", err: "/tmp is for other files"}, // directories above a store have the mode 0755
		{in: "/usr/bin/env", err: "/usr/bin is for other files"},
		{in: "/proc/store", err: "/proc is for other files"},
		{in: "/var", err: "/var is for other files"},
		{in: "/var/lib/store", root: "var/lib/store"},
		{in: "/usr", err: "/usr is for other files"},
		{in: "/usr/local/store", root: "usr/local/store"},
		{in: "/nix", err: "/nix is for other files"}, // its state would be in the store
		{in: "/opt/etc", root: "opt/etc"},
		{in: "/opt/.wh.nix/store", err: "would delete a file"},
		{in: "/nix/st ore", err: "illegal character ' '"},
		{in: "/nix/st:ore", err: "illegal character ':'"},
		{in: "/nix/$x", err: "illegal character '$'"},
		{in: "/nix/\x00", err: "illegal character"},
		{in: "/nix/störe", err: "illegal character"},
		{in: "/" + strings.Repeat("a", maxStoreDir), err: "longer than"},
	} {
		d, err := ParseStoreDir(test.in)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("ParseStoreDir(%q) = %v, %v; want an error with %q", test.in, d, err, test.err)
			}
			continue
		}
		if err != nil || d.Root() != test.root || d.String() != test.in {
			t.Errorf("ParseStoreDir(%q) = %q, %v; want %q, <nil>", test.in, d.Root(), err, test.root)
		}
		if (d == StoreDir{}) != (test.in == "/nix/store") {
			t.Errorf("ParseStoreDir(%q) is the zero value: %v", test.in, d == StoreDir{})
		}
		var again StoreDir
		if b, err := d.MarshalText(); err != nil || again.UnmarshalText(b) != nil || again != d {
			t.Errorf("%q marshals to %q, %v", d, b, err)
		}
	}
}

// TestStoreDirPaths checks where paths lie, compared with a store directory.
func TestStoreDirPaths(t *testing.T) {
	d, err := ParseStoreDir("/opt/nix/store")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path         string
		above, holds bool
		name, below  string
	}{
		{path: ""},
		{path: "opt", above: true},
		{path: "opt/nix", above: true},
		{path: "opt/nix/store", above: true, holds: true},
		{path: "opt/nix/store/x", holds: true, name: "x"},
		{path: "opt/nix/store/x/bin/y", holds: true, name: "x", below: "bin/y"},
		{path: "opt/nix/stores"},
		{path: "op"},
		{path: "nix/store/x"},
	} {
		name, below, ok := d.Cut(test.path)
		if got := d.Above(test.path); got != test.above {
			t.Errorf("Above(%q) = %v; want %v", test.path, got, test.above)
		}
		if got := d.Holds(test.path); got != test.holds {
			t.Errorf("Holds(%q) = %v; want %v", test.path, got, test.holds)
		}
		if name != test.name || below != test.below || ok != (test.name != "") {
			t.Errorf("Cut(%q) = %q, %q, %v; want %q, %q", test.path, name, below, ok, test.name, test.below)
		}
	}
	if got := strings.Join(d.Dirs(), " "); got != "opt opt/nix opt/nix/store" {
		t.Errorf("Dirs() = %q", got)
	}
}

// TestStoreDirOf checks that all parts of an image have one store directory.
func TestStoreDirOf(t *testing.T) {
	for _, test := range []struct {
		roots []string
		want  string
	}{
		{nil, "/nix/store"},
		{[]string{""}, "/nix/store"},
		{[]string{"", "gnu/store/a", "gnu/store/b"}, "/gnu/store"},
		{[]string{"gnu/store/a", "", "nix/store/b"}, `two store directories: "/gnu/store/a" and "/nix/store/b"`},
	} {
		var parts []Part
		for _, root := range test.roots {
			parts = append(parts, Part{Root: root})
		}
		d, err := StoreDirOf(parts)
		got := d.String()
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("StoreDirOf(%q) = %s; want %s", test.roots, got, test.want)
		}
	}
}

// TestStoreDirFactKind checks that no two store directories share facts.
func TestStoreDirFactKind(t *testing.T) {
	seen := make(map[string]string)
	for _, name := range []string{"/nix/store", "/opt/nix/store", "/opt-nix/store", "/opt/nix-store", "/named"} {
		d, err := ParseStoreDir(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"startup1", "startup1-named"} {
			got := d.FactKind(kind)
			if other, ok := seen[got]; ok || strings.Contains(got, "/") {
				t.Errorf("FactKind(%q) of %s = %q, as of %s", kind, name, got, other)
			}
			seen[got] = name
		}
		if got := d.FactKind("x"); name == "/nix/store" && got != "x" {
			t.Errorf("FactKind(x) of /nix/store = %q", got)
		}
	}
}
