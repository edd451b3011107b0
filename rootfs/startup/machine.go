package startup

import (
	"debug/elf"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// machine is what an ELF file is for.
type machine struct {
	ID   uint16 // e_machine
	Wide bool   // 64 bits
	Big  bool   // the most significant byte first
}

// name is what Linux calls it, as in ld-linux-x86-64.so.2's $PLATFORM.
func (m machine) String() string {
	if arch := m.arch(); arch != "" {
		return arch
	}
	bits := 32
	if m.Wide {
		bits = 64
	}
	return fmt.Sprintf("%v with %d bits", elf.Machine(m.ID), bits)
}

// arch is what OCI calls it, or "".
func (m machine) arch() string {
	class := elf.ELFCLASS32
	if m.Wide {
		class = elf.ELFCLASS64
	}
	return rootfs.ELFArchitecture(elf.Machine(m.ID), class, m.Big)
}

// platform is uname's, which loaders have in names of directories.
func (m machine) platform() string {
	return map[string]string{
		"amd64":    "x86_64",
		"386":      "i686",
		"arm64":    "aarch64",
		"arm":      "v7l",
		"riscv64":  "riscv64",
		"ppc64le":  "power8",
		"ppc64":    "power8",
		"s390x":    "z13",
		"mips64le": "mips64",
		"mips64":   "mips64",
		"mipsle":   "mips",
		"mips":     "mips",
		"loong64":  "loongarch64",
	}[m.arch()]
}

// older are the architectures whose programs a kernel can run, too.
var older = map[string][]string{
	"amd64": {"386"}, "arm64": {"arm"}, "ppc64": {"ppc"}, "s390x": {"s390"}, "mips64": {"mips"}, "mips64le": {"mipsle"},
}

// runs says whether the kernel of an architecture, "" if it is not known, takes a program.
func runs(arch string, m machine) bool {
	has := m.arch()
	return arch == "" || has == arch || slices.Contains(older[arch], has)
}
