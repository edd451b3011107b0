package decompress

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/decompress/xz"
)

// storeXZ makes an xz file that contains b as it is, as xz does if b cannot be compressed. b has less than 64 KiB.
func storeXZ(b []byte) []byte {
	withCRC := func(b []byte) []byte {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	flags := []byte{0, 4} // CRC64
	block := withCRC([]byte{2, 0, 0x21, 1, 8, 0, 0, 0})
	block = append(block, 1)
	block = binary.BigEndian.AppendUint16(block, uint16(len(b)-1))
	block = append(append(block, b...), 0)
	size := len(block) + 8
	for len(block)%4 != 0 {
		block = append(block, 0)
	}
	block = binary.LittleEndian.AppendUint64(block, crc64.Checksum(b, crc64.MakeTable(crc64.ECMA)))
	index := withCRC(binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(size)), uint64(len(b))))
	footer := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), flags...)

	out := append([]byte(xz.Magic), flags...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(flags))
	out = append(append(out, block...), index...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(footer))
	return append(append(out, footer...), "YZ"...)
}

// TestXZInXZ checks that the end of an xz file inside of another one, which may contain it as it is, is not taken for its own.
func TestXZInXZ(t *testing.T) {
	inner := storeXZ([]byte("content"))
	for before := range 4 {
		content := strings.Repeat("b", before) + string(inner) + "more"
		got, called, err := decompressFile("xz", bytes.NewReader(storeXZ([]byte(content))))
		if string(got) != content || called || err != nil {
			t.Errorf("%d bytes before the inner file: %d bytes, trailing data: %v, %v; want %d, false, <nil>", before, len(got), called, err, len(content))
		}
	}
}
