package decompress

import "encoding/binary"

// xzWindow is the size of the dictionary of the first block of an xz stream, or 0 if its header is odd.
func xzWindow(head []byte) uint64 {
	const (
		block = 12 // where the block's header begins, behind that of the stream
		lzma2 = 0x21
	)
	if len(head) < block+2 {
		return 0
	}
	flags, rest := head[block+1], head[block+2:]
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			rest = nil
			return 0
		}
		rest = rest[size:]
		return n
	}
	for _, sized := range []byte{0x40, 0x80} { // compressed and not
		if flags&sized != 0 {
			number()
		}
	}
	for range flags&3 + 1 {
		filter, size := number(), number()
		if size > uint64(len(rest)) {
			return 0
		}
		properties := rest[:size]
		rest = rest[size:]
		if filter != lzma2 || size != 1 {
			continue
		}
		switch bits := properties[0]; {
		case bits > 40:
			return 0
		case bits == 40:
			return 1<<32 - 1
		default:
			return uint64(2|bits&1) << (bits/2 + 11)
		}
	}
	return 0
}
