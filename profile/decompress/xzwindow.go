package decompress

import "encoding/binary"

// xzWindow returns the dictionary size of the first block of an xz stream, or 0 if it cannot parse the header.
func xzWindow(head []byte) uint64 {
	const (
		block = 12 // the block's header follows the stream's header
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
	for _, sized := range []byte{0x40, 0x80} { // compressed and uncompressed size
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
