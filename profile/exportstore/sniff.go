package exportstore

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/export-profile/export-profile/profile/decompress"
)

// FormatError says what a file is that is no export stream.
type FormatError struct {
	Is string // "a bare NAR"
}

func (e *FormatError) Error() string { return "not an export stream, but " + e.Is }

// sniffLen is how many bytes tell all known formats apart.
const sniffLen = 512

var narMagic = append(binary.LittleEndian.AppendUint64(nil, 13), "nix-archive-1"...)

// streamBegin and streamEnd are what Nix's export stream begins with: an object, or its end.
var (
	streamBegin = append(binary.LittleEndian.AppendUint64(nil, 1), narMagic...)
	streamEnd   = make([]byte, 8)
)

// isStream says whether a stream, or a piece of one, begins with these bytes.
func isStream(head []byte) bool {
	begins := func(magic string) bool { return strings.HasPrefix(magic, string(head[:min(len(head), len(magic))])) }
	return len(head) > 0 && (begins(string(streamBegin)) || begins(nario2Magic) || bytes.Equal(head, streamEnd))
}

// sniff reports what begins with these bytes if it is not an export stream.
func sniff(head []byte) error {
	if isStream(head) {
		return nil
	}
	for _, known := range []struct{ magic, is string }{
		{"NARIO", "a nario stream of another version"},
		{"LZIP", "something compressed with lzip"},
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
	how := decompress.Sniff(head)
	switch {
	case how != "":
		return &FormatError{"something compressed with " + how}
	case len(head) == 0:
		return &FormatError{"empty"}
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return &FormatError{"a tar archive"}
	}
	return &FormatError{"something unknown"}
}
