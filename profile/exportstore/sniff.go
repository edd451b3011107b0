package exportstore

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// FormatError says what a file is that is no export stream.
type FormatError struct {
	Is string // "a bare NAR"
}

func (e *FormatError) Error() string { return "not an export stream, but " + e.Is }

// sniffLen is how many bytes tell all known formats apart.
const sniffLen = 512

var narMagic = append(binary.LittleEndian.AppendUint64(nil, 13), "nix-archive-1"...)

// streamBegin and streamEnd are what an export stream begins with: an object, or its end.
var (
	streamBegin = append(binary.LittleEndian.AppendUint64(nil, 1), narMagic...)
	streamEnd   = make([]byte, 8)
)

// isStream says whether a stream, or a piece of one, begins with these bytes.
func isStream(head []byte) bool {
	return len(head) > 0 && (bytes.HasPrefix(streamBegin, head[:min(len(head), len(streamBegin))]) || bytes.Equal(head, streamEnd))
}

// sniff reports what begins with these bytes if it is not an export stream.
func sniff(head []byte) error {
	if isStream(head) {
		return nil
	}
	for _, known := range []struct{ magic, is string }{
		{"\x1f\x8b", "something compressed with gzip"},
		{"\x28\xb5\x2f\xfd", "something compressed with zstd"},
		{"\xfd7zXZ\x00", "something compressed with xz"},
		{"BZh", "something compressed with bzip2"},
		{"\x04\x22\x4d\x18", "something compressed with lz4"},
		{"LZIP", "something compressed with lzip"},
		{"NARIO2\x00\x00", "a nario stream of version 2"},
		{string(narMagic), "a bare NAR, which does not say what it is called or what it refers to"},
		{"SQLite format 3\x00", "an SQLite database"},
		{"\x7fELF", "a program"},
		{"PK\x03\x04", "a ZIP archive"},
		{"#!", "a script"},
		{"StorePath: ", "a narinfo file of a binary cache"},
		{"/nix/store/", "a list of store paths"},
		{"{", "JSON"},
		{"[", "JSON"},
	} {
		if strings.HasPrefix(string(head), known.magic) {
			return &FormatError{known.is}
		}
	}
	switch {
	case len(head) == 0:
		return &FormatError{"empty"}
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return &FormatError{"a tar archive"}
	}
	return &FormatError{"something unknown"}
}
