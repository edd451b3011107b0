package startup

import (
	"debug/elf"
	"fmt"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
)

// machine identifies the kind of machine that an ELF file is for.
type machine struct {
	ID   uint16 // e_machine
	Wide bool   // 64 bits
	Big  bool   // the most significant byte first
}

// String returns the GOARCH of the machine, or its ELF name and word size.
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

// arch returns the GOARCH of the machine, or "".
func (m machine) arch() string {
	class := elf.ELFCLASS32
	if m.Wide {
		class = elf.ELFCLASS64
	}
	return rootfs.ELFArchitecture(elf.Machine(m.ID), class, m.Big)
}

// platform returns the name that loaders use in directory names ($PLATFORM).
// On some processors of Intel, glibc uses haswell or xeon_phi, which depends on the machine that runs the image.
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

// compatible lists the other architectures whose programs a kernel can run.
var compatible = map[string][]string{
	"amd64": {"386"}, "arm64": {"arm"}, "ppc64": {"ppc"}, "s390x": {"s390"}, "mips64": {"mips"}, "mips64le": {"mipsle"},
}

// runs reports whether the kernel of an architecture runs programs for m. An unknown architecture, "", runs all.
func runs(arch string, m machine) bool {
	has := m.arch()
	return arch == "" || has == arch || slices.Contains(compatible[arch], has)
}
