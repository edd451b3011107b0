package chunked

import (
	"bytes"
	"encoding/binary"
)

// A name of another length in a program's search path for libraries moves little, since linkers align segments to pages,
// and patchelf puts the longer path at the end of the file. But it changes numbers in four places: the ELF header with its
// program headers, the notes (by the build ID), the dynamic section and the section headers.
//
// The ELF header says where the others are. In a later piece of a large program they are recognised by their form.
// A mistake costs a chunk.

const (
	// minProgram is the size of the smallest piece that is cut there. These cuts cost about eight chunks,
	// and pay only if a name has changed its length.
	minProgram = 64 << 10

	maxEntries  = 128     // of a program, and of its sections; compilers make about 10 and 30
	maxDynamic  = 4 << 10 // bytes of the dynamic section or a note
	maxPrograms = 16      // programs whose tables are recognised in a piece
	beforeTable = 512     // bytes before the section headers: their names, and the checksum of a separate file of symbols
)

// Sizes of the parts of an ELF file of 64 bits.
const (
	elfHeaderBytes     = 64
	elfProgramBytes    = 56
	elfSectionBytes    = 64
	elfDynamicBytes    = 16
	elfLoad            = 1 // types of program headers
	elfDynamic         = 2
	elfNote            = 4
	elfSectionTypes    = 0x14
	elfLeastDynamic    = 8 // entries of a dynamic section
	elfLeastSections   = 8
	elfMostDynamicTag  = 0x25
	elfFirstGNUDynamic = 0x6ffffd00
	elfLastGNUDynamic  = 0x6fffffff
	elfAuxiliary       = 0x7ffffffd
	elfFilter          = 0x7fffffff
)

// appendProgram appends the places in b that change with the length of a name, if b is a piece of a program.
func appendProgram(places []span, b []byte) []span {
	if bytes.HasPrefix(b, []byte("\x7fELF\x02\x01")) { // 64 bits, little endian
		return appendHeaders(places, b)
	}
	return appendTables(places, b)
}

// appendHeaders appends the places that an ELF header and its program headers name.
func appendHeaders(places []span, b []byte) []span {
	le := binary.LittleEndian
	table, count := le.Uint64(b[32:]), uint64(le.Uint16(b[56:]))
	size := uint64(len(b))
	if le.Uint16(b[54:]) != elfProgramBytes || count > maxEntries || table > size || count*elfProgramBytes > size-table {
		return places
	}
	places = append(places, span{0, elfHeaderBytes}, span{int(table), int(table + count*elfProgramBytes)})
	for i := range count {
		header := b[table+i*elfProgramBytes:]
		offset, n := le.Uint64(header[8:]), le.Uint64(header[32:])
		if offset == 0 || offset >= size {
			continue
		}
		switch le.Uint32(header) {
		case elfLoad: // what follows does not depend on the padding before it
			places = append(places, span{int(offset), int(offset)})
		case elfDynamic, elfNote:
			if n <= maxDynamic && n <= size-offset {
				places = append(places, span{int(offset), int(offset + n)})
			}
		}
	}
	offset, n := le.Uint64(b[40:]), uint64(le.Uint16(b[60:]))
	if n <= maxEntries && offset >= beforeTable && offset <= size && n*elfSectionBytes <= size-offset {
		places = append(places, span{int(offset - beforeTable), int(offset + n*elfSectionBytes)})
	}
	return places
}

// Bytes that most programs have once.
var (
	gnuHash        = []byte("\xf5\xfe\xff\x6f\x00\x00\x00\x00")                 // the tag of a hash table in the dynamic section
	dynamicSymbols = []byte("\x0b\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00") // type and flags in the section header
)

// appendTables appends the places of what looks like a dynamic section or section headers.
func appendTables(places []span, b []byte) []span {
	places = appendTable(places, b, gnuHash, 0, elfDynamicBytes, elfLeastDynamic, 0, isDynamicEntry)
	return appendTable(places, b, dynamicSymbols, 4, elfSectionBytes, elfLeastSections, beforeTable, isSectionHeader)
}

// appendTable looks for tables that have entries of size bytes. One entry has the bytes of mark at offset at.
// A table has at least least entries. The places begin that many bytes before it.
func appendTable(places []span, b, mark []byte, at, size, least, before int, isEntry func([]byte) bool) []span {
	last := 0 // no table begins before it
	for found := 0; found < maxPrograms; {
		i := bytes.Index(b[last:], mark)
		if i < 0 {
			break
		}
		start := last + i - at
		end := start + size
		if start < last || end > len(b) {
			last += i + len(mark)
			continue
		}
		for n := 0; n < maxEntries && start-size >= last && isEntry(b[start-size:]); n++ {
			start -= size
		}
		for n := 0; n < maxEntries && end+size <= len(b) && isEntry(b[end:]); n++ {
			end += size
		}
		if end-start >= least*size {
			places = append(places, span{max(0, start-before), end})
			found++
		}
		last = end
	}
	return places
}

// isDynamicEntry reports whether b begins with what can be an entry of a dynamic section.
func isDynamicEntry(b []byte) bool {
	tag := binary.LittleEndian.Uint64(b)
	return tag <= elfMostDynamicTag || tag >= elfFirstGNUDynamic && tag <= elfLastGNUDynamic || tag == elfAuxiliary || tag == elfFilter
}

// isSectionHeader reports whether b begins with what can be a section header.
func isSectionHeader(b []byte) bool {
	le := binary.LittleEndian
	name, kind, flags, align := le.Uint32(b), le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[48:])
	return name < 1<<20 && (kind <= elfSectionTypes || kind>>20 == 0x6ff || kind>>16 == 0x7000) &&
		flags < 1<<32 && align <= 1<<22 && align&(align-1) == 0
}
