package chunked

import "encoding/binary"

// crc64Of continues a CRC-64 (ISO) with more bytes, as hash/crc64.Update does, at several times its speed.
// Tar-split data has such a sum of each file.
//
// The polynomial is x^64 + x^4 + x^3 + x + 1. So a multiplication by x^64, which takes in eight bytes,
// is one by x^4 + x^3 + x + 1, and one by x^128 is one by the square of that: x^8 + x^6 + x^2 + 1.
// The lowest bit of a word has the highest power.
func crc64Of(crc uint64, b []byte) uint64 {
	crc = ^crc
	for len(b) >= 16 {
		crc = times128(crc^binary.LittleEndian.Uint64(b)) ^ times64(binary.LittleEndian.Uint64(b[8:]))
		b = b[16:]
	}
	if len(b) >= 8 {
		crc = times64(crc ^ binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, c := range b { // multiply the lowest byte by x^64 and the others by x^8
		crc = times64((crc^uint64(c))<<56) ^ crc>>8
	}
	return ^crc
}

// times64 multiplies by x^64.
func times64(v uint64) uint64 {
	over := v<<63 ^ v<<61 ^ v<<60 // what goes beyond x^63, once more multiplied
	return v ^ v>>1 ^ v>>3 ^ v>>4 ^ over ^ over>>1 ^ over>>3 ^ over>>4
}

// times128 multiplies by x^128.
func times128(v uint64) uint64 {
	over := v<<62 ^ v<<58 ^ v<<56
	return v ^ v>>2 ^ v>>6 ^ v>>8 ^ over ^ over>>1 ^ over>>3 ^ over>>4
}
