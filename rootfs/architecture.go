package rootfs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Architecture returns the architecture of a profile's programs, as Go and OCI name it.
// It is that of the first ELF file in the profile's bin directory, in path order; links are followed.
// Without an ELF file it is empty.
func (v *View) Architecture(profile string) (string, error) {
	bin, err := v.Stat(profile + "/bin")
	if leadsNowhere(err) || err == nil && !bin.IsDir() {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	names, err := v.Names(bin.Path)
	if err != nil {
		return "", err
	}
	// One walk of a part reads all its files, so group them by part.
	// A part is read only if no file before its first one is an ELF file.
	byRoot := make(map[string][]string)
	var order []string
	for name := range names {
		e, err := v.Stat(bin.Path + "/" + name)
		if leadsNowhere(err) || err == nil && !e.IsRegular() {
			continue
		}
		if err != nil {
			return "", err
		}
		root, _ := v.rootOf(e.Path)
		byRoot[root] = append(byRoot[root], e.Path)
		order = append(order, e.Path)
	}
	heads := make(map[string][]byte)
	for _, path := range order {
		head, ok := heads[path]
		if !ok {
			root, _ := v.rootOf(path)
			read, err := v.Read(elfHead, byRoot[root]...)
			if err != nil {
				return "", err
			}
			for p, b := range read {
				heads[p] = b
			}
			head = heads[path]
		}
		if bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
			arch, err := elfArchitecture(head)
			if err != nil {
				return "", fmt.Errorf("%q: %w", path, err)
			}
			return arch, nil
		}
	}
	return "", nil
}

// ArchitectureOf returns the architecture of the executable ELF files in parts, as Go and OCI name it, or "" if there are none.
// Files for two architectures are an error.
func ArchitectureOf(parts ...Part) (arch string, err error) {
	of := ""
	for _, p := range parts {
		for e, err := range p.Tree {
			if err != nil {
				return "", err
			}
			if !e.IsRegular() || e.Mode&0o111 == 0 {
				continue
			}
			is, err := architectureOfFile(e)
			switch {
			case err != nil:
				return "", fmt.Errorf("%q: %w", e.Path, err)
			case is == "" || is == arch:
			case arch == "":
				arch, of = is, e.Path
			default:
				return "", fmt.Errorf("programs of two architectures: %q is for %s, %q for %s", of, arch, e.Path, is)
			}
		}
	}
	return arch, nil
}

// architectureOfFile returns the architecture of an ELF file, or "" for any other.
func architectureOfFile(e Entry) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	head := make([]byte, elfHead)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	if head = head[:n]; !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return "", nil
	}
	return elfArchitecture(head)
}

// leadsNowhere reports whether err says that a path leads nowhere, or out of the View.
func leadsNowhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrOutside)
}

// elfHead is the number of bytes up to the machine: e_ident, e_type, e_machine.
const elfHead = elf.EI_NIDENT + 4

// elfArchitecture maps the beginning of an ELF file to GOARCH.
func elfArchitecture(head []byte) (string, error) {
	if len(head) < elfHead {
		return "", errors.New("ELF header cut short")
	}
	var order binary.ByteOrder = binary.LittleEndian
	big := elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB
	if big {
		order = binary.BigEndian
	}
	machine, class := elf.Machine(order.Uint16(head[elf.EI_NIDENT+2:])), elf.Class(head[elf.EI_CLASS])
	arch := ELFArchitecture(machine, class, big)
	if arch == "" {
		return "", fmt.Errorf("program for an unknown processor: %v, %v", machine, class)
	}
	return arch, nil
}

// ELFArchitecture maps a machine, class and byte order of the System V ABI to GOARCH, which OCI uses as well.
// It returns "" for any other.
func ELFArchitecture(machine elf.Machine, class elf.Class, big bool) string {
	for _, a := range elfArchitectures {
		if a.machine == machine && a.class == class && a.big == big {
			return a.arch
		}
	}
	return ""
}

var elfArchitectures = []struct {
	machine elf.Machine
	class   elf.Class
	big     bool
	arch    string
}{
	{elf.EM_X86_64, elf.ELFCLASS64, false, "amd64"},
	{elf.EM_386, elf.ELFCLASS32, false, "386"},
	{elf.EM_AARCH64, elf.ELFCLASS64, false, "arm64"},
	{elf.EM_ARM, elf.ELFCLASS32, false, "arm"},
	{elf.EM_RISCV, elf.ELFCLASS64, false, "riscv64"},
	{elf.EM_PPC64, elf.ELFCLASS64, false, "ppc64le"},
	{elf.EM_PPC64, elf.ELFCLASS64, true, "ppc64"},
	{elf.EM_S390, elf.ELFCLASS64, true, "s390x"},
	{elf.EM_MIPS, elf.ELFCLASS64, false, "mips64le"},
	{elf.EM_MIPS, elf.ELFCLASS64, true, "mips64"},
	{elf.EM_MIPS, elf.ELFCLASS32, false, "mipsle"},
	{elf.EM_MIPS, elf.ELFCLASS32, true, "mips"},
	{elf.EM_LOONGARCH, elf.ELFCLASS64, false, "loong64"},
}
