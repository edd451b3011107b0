package rootfs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func testView(t *testing.T) *rootfs.View {
	return rootfs.NewView(rootfstest.Parts(t,
		"d 0555 nix/store/p",
		"l nix/store/p/abs -> /nix/store/q/file",
		"l nix/store/p/circle -> circle",
		"d 0555 nix/store/p/dir",
		"f 0444 nix/store/p/dir/f hello",
		"l nix/store/p/dots -> dir/../dir/./f",
		"l nix/store/p/hop -> rel",
		"l nix/store/p/host -> /etc/hosts",
		"l nix/store/p/nowhere -> gone",
		"l nix/store/p/other -> /nix/store/not-in-closure/x",
		"l nix/store/p/rel -> ../q/sub",
		"l nix/store/p/root -> ../../..",
		"l nix/store/p/slash -> dir/",
		"l nix/store/p/store -> /nix/store",
		"l nix/store/p/up -> ../../../etc/passwd",
		"d 0555 nix/store/q",
		"f 0555 nix/store/q/file world",
		"d 0555 nix/store/q/sub",
		"l nix/store/s -> /nix/store/p/dir",
	), nil)
}

func TestViewStat(t *testing.T) {
	v := testView(t)
	for _, test := range []struct {
		path, want string
		err        error
	}{
		{"nix/store/p", "nix/store/p", nil},
		{"nix/store/p/abs", "nix/store/q/file", nil},
		{"nix/store/p/rel", "nix/store/q/sub", nil},
		{"nix/store/p/hop", "nix/store/q/sub", nil},
		{"nix/store/p/hop/../file", "nix/store/q/file", nil},
		{"nix/store/p/dots", "nix/store/p/dir/f", nil},
		{"nix/store/p/slash", "nix/store/p/dir", nil},
		{"nix/store/s", "nix/store/p/dir", nil},
		{"nix/store/s/f", "nix/store/p/dir/f", nil},
		{"nix/store/p/root/nix/store/q", "nix/store/q", nil},
		{"nix/store/p/dir/f/x", "", fs.ErrNotExist},
		{"nix/store/p/nowhere", "", fs.ErrNotExist},
		{"nix/store/p/circle", "", fs.ErrNotExist},
		{"nix/store/p/other", "", fs.ErrNotExist},
		{"nix/store/p/missing", "", fs.ErrNotExist},
		{"nix/store/missing", "", fs.ErrNotExist},
		{"nix/store/p/host", "", rootfs.ErrOutside},
		{"nix/store/p/up", "", rootfs.ErrOutside},
		{"nix/store/p/store", "", rootfs.ErrOutside},
		{"nix/store/p/root", "", rootfs.ErrOutside},
		{"etc", "", rootfs.ErrOutside},
	} {
		got, err := v.Stat(test.path)
		if got.Path != test.want || !errors.Is(err, test.err) {
			t.Errorf("Stat(%q) = %q, %v; want %q, %v", test.path, got.Path, err, test.want, test.err)
		}
	}
}

func TestViewRead(t *testing.T) {
	v := testView(t)
	got, err := v.Read(4, "nix/store/p/dir/f", "nix/store/q/file")
	if err != nil || string(got["nix/store/p/dir/f"]) != "hell" || string(got["nix/store/q/file"]) != "worl" {
		t.Errorf("Read(4, …) = %q, %v; want the first 4 bytes of each", got, err)
	}
	for _, path := range []string{"nix/store/p/gone", "nix/store/p/dir", "etc/hosts"} {
		if got, err := v.Read(4, path); err == nil {
			t.Errorf("Read(4, %q) = %q, <nil>; want an error", path, got)
		}
	}
}

func TestViewSourceFails(t *testing.T) {
	v := rootfs.NewView([]rootfs.Part{{Name: "p", Root: "nix/store/p", Tree: rootfstest.Tree(t, "d 0555 nix/store/p", "! broken disk")}}, nil)
	if _, err := v.Stat("nix/store/p/x"); err == nil || !strings.Contains(err.Error(), "broken disk") {
		t.Errorf("Stat in a broken part = %v; want its error", err)
	}
}

func TestArchitecture(t *testing.T) {
	elf := func(class, data, machine byte) string {
		b := make([]byte, 20)
		copy(b, "\x7fELF")
		b[4], b[5], b[6] = class, data, 1
		b[18] = machine
		if data == 2 {
			b[18], b[19] = 0, machine
		}
		return rootfstest.Quote(string(b))
	}
	for _, test := range []struct {
		name  string
		lines []string
		want  string
		err   string
	}{
		{"amd64", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a " + elf(2, 1, 62)}, "amd64", ""},
		{"arm64", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a " + elf(2, 1, 183)}, "arm64", ""},
		{"s390x is big-endian", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a " + elf(2, 2, 22)}, "s390x", ""},
		{"a script comes first", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a #!/bin/sh", "f 0555 nix/store/p/bin/b " + elf(2, 1, 62)}, "amd64", ""},
		{"first of two", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a " + elf(2, 1, 243), "f 0555 nix/store/p/bin/b " + elf(2, 1, 62)}, "riscv64", ""},
		{"behind links", []string{"l nix/store/p/bin -> x", "d 0555 nix/store/p/x", "l nix/store/p/x/dangling -> gone", "l nix/store/p/x/prog -> ../y", "f 0555 nix/store/p/y " + elf(1, 1, 40)}, "arm", ""},
		{"only scripts", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a #!/bin/sh"}, "", ""},
		{"empty file", []string{"d 0555 nix/store/p/bin", `f 0555 nix/store/p/bin/a ""`}, "", ""},
		{"no bin", []string{"d 0555 nix/store/p/share"}, "", ""},
		{"cut short", []string{"d 0555 nix/store/p/bin", `f 0555 nix/store/p/bin/a "\x7fELF\x02"`}, "", "cut short"},
		{"unknown", []string{"d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/a " + elf(2, 1, 200)}, "", "unknown processor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := rootfs.NewView(rootfstest.Parts(t, append([]string{"d 0555 nix/store/p"}, test.lines...)...), nil)
			got, err := v.Architecture("nix/store/p")
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("Architecture() = %q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}
