package startup

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The library cache that ldconfig writes (glibc, sysdeps/generic/dl-cache.h):
//
//	"glibc-ld.so.cache1.1" u32(number of libraries) u32(bytes of strings) u8(byte order) 3*0 u32(extensions) 12*0
//	{ i32(kind) u32(name) u32(path) u32(0) u64(hwcaps) } strings
//
// Names and paths are offsets from its beginning. A cache in the old format may precede it.
const (
	oldCacheMagic = "ld.so-1.7.0\x00"
	newCacheMagic = "glibc-ld.so.cache1.1"

	cacheHeader = 48
	cacheEntry  = 24
)

// parseCache returns the paths of the libraries in a cache, by name. Paths for any processor come first.
// It ignores faulty entries, as the loader does.
func parseCache(b []byte, m machine) map[string][]string {
	var order binary.ByteOrder = binary.LittleEndian
	if m.Big {
		order = binary.BigEndian
	}
	if bytes.HasPrefix(b, []byte(oldCacheMagic)) && len(b) >= 16 {
		skip := 16 + 12*uint64(order.Uint32(b[12:]))
		if skip = (skip + 7) &^ 7; skip > uint64(len(b)) {
			return nil
		}
		b = b[skip:]
	}
	if !bytes.HasPrefix(b, []byte(newCacheMagic)) || len(b) < cacheHeader {
		return nil
	}
	if endian := b[28] & 3; endian == 1 || endian == 2 && m.Big || endian == 3 && !m.Big {
		return nil // wrong byte order
	}
	count := uint64(order.Uint32(b[20:]))
	if count > uint64(len(b)-cacheHeader)/cacheEntry {
		return nil
	}
	text := func(at uint32) string {
		if uint64(at) >= uint64(len(b)) {
			return ""
		}
		s, _, ended := strings.Cut(string(b[at:min(len(b), int(at)+maxString)]), "\x00")
		if !ended {
			return ""
		}
		return s
	}
	libraries := make(map[string][]string)
	for _, special := range []bool{false, true} {
		for i := range count {
			e := b[cacheHeader+i*cacheEntry:]
			name, at := text(order.Uint32(e[4:])), text(order.Uint32(e[8:]))
			if (order.Uint64(e[16:]) != 0) == special && name != "" && strings.HasPrefix(at, "/") {
				libraries[name] = append(libraries[name], at)
			}
		}
	}
	return libraries
}
