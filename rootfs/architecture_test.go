package rootfs_test

import (
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// elf returns the quoted beginning of an ELF file.
func elf(class, data, machine byte) string {
	b := make([]byte, 20)
	copy(b, "\x7fELF")
	b[4], b[5], b[6] = class, data, 1
	b[18] = machine
	if data == 2 {
		b[18], b[19] = 0, machine
	}
	return rootfstest.Quote(string(b))
}

func TestArchitectureOf(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines []string
		want  string
		err   string
	}{
		{"nothing", nil, "", ""},
		{"a program", []string{"d 0755 bin", "f 0755 bin/a " + elf(2, 1, 183)}, "arm64", ""},
		{"of two", []string{"d 0755 bin", "f 0755 bin/a #!/bin/sh", "f 0755 bin/b " + elf(2, 1, 62), "f 0755 bin/c " + elf(2, 1, 62)}, "amd64", ""},
		{"not executable", []string{"d 0755 lib", "f 0644 lib/a " + elf(2, 1, 62)}, "", ""},
		{"empty", []string{`f 0755 a ""`}, "", ""},
		{"two architectures", []string{"f 0755 a " + elf(2, 1, 62), "f 0755 b " + elf(2, 1, 183)}, "", `programs of two architectures: "a" is for amd64, "b" for arm64`},
		{"cut short", []string{`f 0755 a "\x7fELF\x02"`}, "", `"a": ELF header cut short`},
		{"unknown", []string{"f 0755 a " + elf(2, 1, 200)}, "", "unknown processor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := rootfs.ArchitectureOf(rootfs.Part{Tree: rootfstest.Tree(t, test.lines...)})
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("ArchitectureOf() = %q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}

func TestArchitecture(t *testing.T) {
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
