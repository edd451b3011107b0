package startup

// wantedVersion is a symbol version that a file needs from a library.
type wantedVersion struct {
	Library, Version string
	Weak             bool
}

// Tags of the dynamic section.
const (
	tagNeeded     = 1
	tagStrtab     = 5
	tagStrsz      = 10
	tagSoname     = 14
	tagRpath      = 15
	tagRunpath    = 29
	tagFlags1     = 0x6ffffffb
	tagVerdef     = 0x6ffffffc
	tagVerdefnum  = 0x6ffffffd
	tagVerneed    = 0x6ffffffe
	tagVerneednum = 0x6fffffff
	tagFilter     = 0x7fffffff
)

// readDynamic reads what the dynamic section says: the libraries, where to search for them, and versions of symbols.
func (f *elfReader) readDynamic(b *binaryFile, section []byte) error {
	step := 8
	if f.wide {
		step = 16
	}
	last := make(map[uint64]uint64)
	var needed []uint64
	for ; len(section) >= step; section = section[step:] {
		tag, value := f.word(section), f.word(section[step/2:])
		if tag == 0 {
			break
		}
		if tag == tagNeeded || tag == tagFilter {
			if needed = append(needed, value); len(needed) > maxNeeded {
				return damagef("it needs more than %d libraries", maxNeeded)
			}
		}
		last[tag] = value
	}
	address, ok := last[tagStrtab]
	if !ok {
		if len(needed) > 0 {
			return damagef("it needs libraries without names")
		}
		return nil
	}
	place, ok := f.fileOffset(address)
	if !ok {
		return damagef("its string table is in no segment")
	}
	f.strings, f.nStrings = int64(place), last[tagStrsz]
	for _, at := range needed {
		s, err := f.readString(at)
		if err != nil {
			return err
		}
		b.Needed = append(b.Needed, s)
	}
	for _, s := range []struct {
		tag uint64
		to  *string
	}{{tagSoname, &b.Soname}, {tagRpath, &b.Rpath}, {tagRunpath, &b.Runpath}} {
		at, ok := last[s.tag]
		if !ok {
			continue
		}
		var err error
		if *s.to, err = f.readString(at); err != nil {
			return err
		}
	}
	if _, b.HasRunpath = last[tagRunpath]; b.HasRunpath {
		b.Rpath = ""
	}
	b.NoDefaultLib, b.PIE = last[tagFlags1]&0x800 != 0, last[tagFlags1]&0x8000000 != 0
	if err := f.readWanted(b, last[tagVerneed], last[tagVerneednum]); err != nil {
		return err
	}
	return f.readDefined(b, last[tagVerdef], last[tagVerdefnum])
}

// nextRecord returns where the next record of a list begins, or false after the last one.
func nextRecord(at uint64, step uint32) (uint64, bool) { return at + uint64(step), step != 0 }

// readWanted reads the versions that the file needs from libraries.
func (f *elfReader) readWanted(b *binaryFile, address, count uint64) error {
	at, ok := f.fileOffset(address)
	for ; ok && address != 0 && count > 0; count-- {
		need, err := f.bytesAt("a version", at, 16)
		if err != nil {
			return err
		}
		library, err := f.readString(uint64(f.order.Uint32(need[4:])))
		if err != nil {
			return err
		}
		aux := at + uint64(f.order.Uint32(need[8:]))
		for range f.order.Uint16(need[2:]) {
			v, err := f.bytesAt("a version", aux, 16)
			if err != nil {
				return err
			}
			name, err := f.readString(uint64(f.order.Uint32(v[8:])))
			if err != nil {
				return err
			}
			if b.Wanted = append(b.Wanted, wantedVersion{library, name, f.order.Uint16(v[4:])&2 != 0}); len(b.Wanted) > maxVersions {
				return damagef("it needs more than %d versions", maxVersions)
			}
			var more bool
			if aux, more = nextRecord(aux, f.order.Uint32(v[12:])); !more {
				break
			}
		}
		at, ok = nextRecord(at, f.order.Uint32(need[12:]))
	}
	return nil
}

// readDefined reads the versions that the file defines.
func (f *elfReader) readDefined(b *binaryFile, address, count uint64) error {
	at, ok := f.fileOffset(address)
	for ; ok && address != 0 && count > 0; count-- {
		def, err := f.bytesAt("a version", at, 20)
		if err != nil {
			return err
		}
		aux, err := f.bytesAt("a version", at+uint64(f.order.Uint32(def[12:])), 8)
		if err != nil {
			return err
		}
		name, err := f.readString(uint64(f.order.Uint32(aux)))
		if err != nil {
			return err
		}
		if b.Defined = append(b.Defined, name); len(b.Defined) > maxVersions {
			return damagef("it has more than %d versions", maxVersions)
		}
		at, ok = nextRecord(at, f.order.Uint32(def[16:]))
	}
	return nil
}
