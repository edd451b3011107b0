package startup

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// elfFile describes an ELF file. bytes writes it as small as a loader accepts.
type elfFile struct {
	narrow  bool // 32 bits
	big     bool
	machine elf.Machine // EM_X86_64 by default
	typ     uint16      // typeDyn by default
	interp  string
	dynamic bool // a dynamic section even if it is empty

	soname  string
	needed  []string
	rpath   string
	runpath string
	empty   bool   // an empty RUNPATH
	flags1  uint64 // DT_FLAGS_1
	wanted  []wantedVersion
	defined []string

	lead    int // bytes before the names
	pad     int // bytes between the names and the dynamic section
	content string
}

var x86 = machine{uint16(elf.EM_X86_64), true, false}

func (f elfFile) bytes() []byte {
	var order binary.AppendByteOrder = binary.LittleEndian
	if f.big {
		order = binary.BigEndian
	}
	word := func(b []byte, v uint64) []byte {
		if f.narrow {
			return order.AppendUint32(b, uint32(v))
		}
		return order.AppendUint64(b, v)
	}
	const base = 0x10000 // so that addresses differ from offsets
	ehdr, phdr := 64, 56
	if f.narrow {
		ehdr, phdr = 52, 32
	}
	strings := []byte{0}
	str := func(s string) uint64 {
		at := len(strings)
		strings = append(append(strings, s...), 0)
		return uint64(at)
	}
	type pair struct{ tag, value uint64 }
	var dyn []pair
	for _, n := range f.needed {
		dyn = append(dyn, pair{tagNeeded, str(n)})
	}
	for _, s := range []struct {
		tag uint64
		s   string
	}{{tagSoname, f.soname}, {tagRpath, f.rpath}, {tagRunpath, f.runpath}} {
		if s.s != "" || s.tag == tagRunpath && f.empty {
			dyn = append(dyn, pair{s.tag, str(s.s)})
		}
	}
	var versions []byte
	for i, w := range f.wanted {
		flags, next := uint16(0), uint32(32)
		if w.Weak {
			flags = 2
		}
		if i == len(f.wanted)-1 {
			next = 0
		}
		versions = order.AppendUint16(order.AppendUint16(versions, 1), 1)
		versions = order.AppendUint32(versions, uint32(str(w.Library)))
		versions = order.AppendUint32(order.AppendUint32(versions, 16), next)
		versions = order.AppendUint16(order.AppendUint16(order.AppendUint32(versions, 0), flags), 2)
		versions = order.AppendUint32(order.AppendUint32(versions, uint32(str(w.Version))), 0)
	}
	defs := len(versions)
	for i, v := range f.defined {
		next := uint32(28)
		if i == len(f.defined)-1 {
			next = 0
		}
		for _, h := range []uint16{1, 0, uint16(i + 1), 1} {
			versions = order.AppendUint16(versions, h)
		}
		for _, w := range []uint32{0, 20, next, uint32(str(v)), 0} {
			versions = order.AppendUint32(versions, w)
		}
	}
	dynamic := len(dyn) > 0 || f.dynamic || len(versions) > 0
	phnum := 1
	if dynamic {
		phnum++
	}
	if f.interp != "" {
		phnum++
	}
	at := ehdr + phnum*phdr
	body := append([]byte(f.interp), 0)
	body = append(body, make([]byte, f.lead)...)
	stringsAt := at + len(body)
	body = append(body, strings...)
	versionsAt := at + len(body)
	body = append(body, versions...)
	body = append(body, make([]byte, f.pad)...)
	body = append(body, f.content...)
	dynAt := at + len(body)
	if dynamic {
		dyn = append(dyn, pair{tagStrtab, uint64(base + stringsAt)}, pair{tagStrsz, uint64(len(strings))})
		if f.flags1 != 0 {
			dyn = append(dyn, pair{tagFlags1, f.flags1})
		}
		if len(f.wanted) > 0 {
			dyn = append(dyn, pair{tagVerneed, uint64(base + versionsAt)}, pair{tagVerneednum, uint64(len(f.wanted))})
		}
		if len(f.defined) > 0 {
			dyn = append(dyn, pair{tagVerdef, uint64(base + versionsAt + defs)}, pair{tagVerdefnum, uint64(len(f.defined))})
		}
		for _, p := range append(dyn, pair{}) {
			body = word(word(body, p.tag), p.value)
		}
	}
	size := uint64(at + len(body))

	var b bytes.Buffer
	b.WriteString(elfMagic)
	class, data := byte(2), byte(1)
	if f.narrow {
		class = 1
	}
	if f.big {
		data = 2
	}
	b.Write(append([]byte{class, data, 1}, make([]byte, 9)...))
	m, typ := f.machine, f.typ
	if m == 0 {
		m = elf.EM_X86_64
	}
	if typ == 0 {
		typ = typeDyn
	}
	var h []byte
	h = order.AppendUint32(order.AppendUint16(order.AppendUint16(h, typ), uint16(m)), 1)
	h = word(word(word(h, 0), uint64(ehdr)), 0)
	h = order.AppendUint32(h, 0)
	for _, v := range []int{ehdr, phdr, phnum, 0, 0, 0} {
		h = order.AppendUint16(h, uint16(v))
	}
	segment := func(kind uint32, offset, n uint64) {
		h = order.AppendUint32(h, kind)
		if !f.narrow {
			h = order.AppendUint32(h, 5)
		}
		for _, v := range []uint64{offset, base + offset, base + offset, n, n} {
			h = word(h, v)
		}
		if f.narrow {
			h = order.AppendUint32(h, 5)
		}
		h = word(h, 1)
	}
	segment(1, 0, size)
	if dynamic {
		segment(2, uint64(dynAt), size-uint64(dynAt))
	}
	if f.interp != "" {
		segment(3, uint64(at), uint64(len(f.interp)+1))
	}
	b.Write(h)
	b.Write(body)
	return b.Bytes()
}
