package startup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// binaryFile holds what kernel and dynamic loader read from an ELF file (System V gABI, chapters 4 and 5).
type binaryFile struct {
	Machine machine
	Type    uint16 // typeExec, typeDyn, or a type that cannot be started
	Interp  string // PT_INTERP, or ""

	Soname       string
	Needed       []string // DT_NEEDED and DT_FILTER
	Rpath        string   // DT_RPATH, "" if DT_RUNPATH overrides it
	Runpath      string
	HasRunpath   bool // true for an empty DT_RUNPATH too, which also overrides DT_RPATH
	NoDefaultLib bool // DF_1_NODEFLIB
	PIE          bool // DF_1_PIE

	Wanted  []wantedVersion
	Defined []string // versions of its own symbols

	// Damage says why neither kernel nor loader can use the file. It is "" if they can.
	Damage string
}

// Types of ELF files.
const (
	typeExec = 2
	typeDyn  = 3
)

// Limits on what is read from one file, even if it declares more. The kernel has the first limit, too.
const (
	maxHeaders  = 64 << 10 // bytes of program headers
	maxDynamic  = 1 << 20  // bytes of the dynamic section
	maxNeeded   = 4096
	maxString   = 4096
	maxVersions = 1 << 16
	maxNames    = 256 << 10 // total bytes of all names
)

const elfMagic = "\x7fELF"

// damageError describes a fault of the file, as opposed to a failure to read it.
type damageError string

func (e damageError) Error() string { return string(e) }

func damagef(format string, args ...any) error { return damageError(fmt.Sprintf(format, args...)) }

// readBinary reads an ELF file, whose magic the caller has checked.
// An error means that reading failed. Faults of the file go into its Damage.
func readBinary(r io.ReaderAt, size int64) (*binaryFile, error) {
	b := &binaryFile{}
	f := elfReader{r: r, size: size}
	err := f.read(b)
	if damage := damageError(""); errors.As(err, &damage) {
		b.Damage, err = string(damage), nil
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

type elfReader struct {
	r     io.ReaderAt
	size  int64
	order binary.ByteOrder
	wide  bool // 64 bits

	loads    []segment
	strings  int64 // offset of the string table
	nStrings uint64
	names    int // bytes of names read so far
}

type segment struct{ offset, address, size uint64 }

// bytesAt reads n bytes. It is damage if the file is too short.
func (f *elfReader) bytesAt(what string, offset uint64, n uint64) ([]byte, error) {
	if offset > uint64(f.size) || n > uint64(f.size)-offset {
		return nil, damagef("%s is beyond its end", what)
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, int64(offset)); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// word decodes a number of the file's word size.
func (f *elfReader) word(b []byte) uint64 {
	if f.wide {
		return f.order.Uint64(b)
	}
	return uint64(f.order.Uint32(b))
}

func (f *elfReader) read(b *binaryFile) error {
	head, err := f.bytesAt("the ELF header", 0, 52)
	if err != nil {
		return err
	}
	switch head[4] {
	case 1:
	case 2:
		f.wide = true
		if head, err = f.bytesAt("the ELF header", 0, 64); err != nil {
			return err
		}
	default:
		return damagef("unknown ELF class %d", head[4])
	}
	switch head[5] {
	case 1:
		f.order = binary.LittleEndian
	case 2:
		f.order = binary.BigEndian
	default:
		return damagef("unknown ELF byte order %d", head[5])
	}
	b.Type = f.order.Uint16(head[16:])
	b.Machine = machine{f.order.Uint16(head[18:]), f.wide, head[5] == 2}
	if b.Type != typeExec && b.Type != typeDyn {
		return nil
	}
	offset, entry, counts := f.word(head[28:]), uint64(32), head[42:]
	if f.wide {
		offset, entry, counts = f.word(head[32:]), 56, head[54:]
	}
	count := uint64(f.order.Uint16(counts[2:]))
	switch {
	case uint64(f.order.Uint16(counts)) != entry:
		return damagef("program headers of %d bytes", f.order.Uint16(counts))
	case count == 0 || count*entry > maxHeaders:
		return damagef("%d program headers", count)
	}
	table, err := f.bytesAt("its program header table", offset, count*entry)
	if err != nil {
		return err
	}
	return f.readSegments(b, table, int(entry))
}

// readSegments reads the program headers, and the interpreter and dynamic section that they point to.
func (f *elfReader) readSegments(b *binaryFile, table []byte, entry int) error {
	var dynamic *segment
	for ; len(table) >= entry; table = table[entry:] {
		s := segment{f.word(table[4:]), f.word(table[8:]), f.word(table[16:])}
		if f.wide {
			s = segment{f.word(table[8:]), f.word(table[16:]), f.word(table[32:])}
		}
		switch f.order.Uint32(table) {
		case 1: // PT_LOAD
			f.loads = append(f.loads, s)
			if s.offset > uint64(f.size) || s.size > uint64(f.size)-s.offset {
				return damagef("it is cut short: a segment ends beyond its end")
			}
		case 2: // PT_DYNAMIC
			dynamic = &s
		case 3: // PT_INTERP; the kernel takes the first
			if b.Interp != "" {
				continue
			}
			if s.size < 2 || s.size > maxString {
				return damagef("an interpreter's name of %d bytes", s.size)
			}
			name, err := f.bytesAt("its interpreter's name", s.offset, s.size)
			if err != nil {
				return err
			}
			if name[len(name)-1] != 0 {
				return damagef("an interpreter's name without an end")
			}
			b.Interp, _, _ = strings.Cut(string(name), "\x00")
		}
	}
	if dynamic == nil {
		return nil
	}
	if dynamic.size > maxDynamic {
		return damagef("a dynamic section of %d bytes", dynamic.size)
	}
	section, err := f.bytesAt("its dynamic section", dynamic.offset, dynamic.size)
	if err != nil {
		return err
	}
	return f.readDynamic(b, section)
}

// fileOffset converts an address to an offset in the file.
func (f *elfReader) fileOffset(address uint64) (uint64, bool) {
	for _, s := range f.loads {
		if address >= s.address && address-s.address < s.size {
			return s.offset + (address - s.address), true
		}
	}
	return 0, false
}

// readString reads a string of the string table.
func (f *elfReader) readString(at uint64) (string, error) {
	if at >= f.nStrings {
		return "", damagef("a name is beyond its string table")
	}
	from := uint64(f.strings) + at
	if from > uint64(f.size) {
		return "", damagef("a name is beyond its end")
	}
	for n := uint64(64); ; n *= 8 { // most are short
		n = min(n, maxString+1, f.nStrings-at, uint64(f.size)-from)
		b, err := f.bytesAt("a name", from, n)
		if err != nil {
			return "", err
		}
		s, _, ended := strings.Cut(string(b), "\x00")
		switch {
		case ended:
			if f.names += len(s); f.names > maxNames {
				return "", damagef("its names have more than %d bytes", maxNames)
			}
			return s, nil
		case n == min(maxString+1, f.nStrings-at, uint64(f.size)-from):
			return "", damagef("a name without an end")
		}
	}
}
