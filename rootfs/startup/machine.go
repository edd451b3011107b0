package startup

import (
	"debug/elf"
	"fmt"
	"slices"
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

// architectures are those that OCI has a name for.
var architectures = []struct {
	arch     string
	machine  machine
	platform string // uname's
}{
	{"amd64", machine{uint16(elf.EM_X86_64), true, false}, "x86_64"},
	{"386", machine{uint16(elf.EM_386), false, false}, "i686"},
	{"arm64", machine{uint16(elf.EM_AARCH64), true, false}, "aarch64"},
	{"arm", machine{uint16(elf.EM_ARM), false, false}, "v7l"},
	{"riscv64", machine{uint16(elf.EM_RISCV), true, false}, "riscv64"},
	{"ppc64le", machine{uint16(elf.EM_PPC64), true, false}, "power8"},
	{"ppc64", machine{uint16(elf.EM_PPC64), true, true}, "power8"},
	{"s390x", machine{uint16(elf.EM_S390), true, true}, "z13"},
	{"mips64le", machine{uint16(elf.EM_MIPS), true, false}, "mips64"},
	{"mips64", machine{uint16(elf.EM_MIPS), true, true}, "mips64"},
	{"mipsle", machine{uint16(elf.EM_MIPS), false, false}, "mips"},
	{"mips", machine{uint16(elf.EM_MIPS), false, true}, "mips"},
	{"loong64", machine{uint16(elf.EM_LOONGARCH), true, false}, "loongarch64"},
}

func (m machine) arch() string {
	for _, a := range architectures {
		if a.machine == m {
			return a.arch
		}
	}
	return ""
}

func (m machine) platform() string {
	for _, a := range architectures {
		if a.machine == m {
			return a.platform
		}
	}
	return ""
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
