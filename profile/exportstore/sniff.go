package exportstore

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/export-profile/export-profile/profile/decompress"
)

// FormatError reports a file that is not an export stream.
type FormatError struct {
	Is string // what the file is instead, such as "a bare NAR"
}

func (e *FormatError) Error() string { return "not an export stream, but " + e.Is }

// sniffLen is how many bytes sniff needs to recognise every known format.
const sniffLen = 512

var narMagic = append(binary.LittleEndian.AppendUint64(nil, 13), "nix-archive-1"...)

// A stream of the first format begins with streamBegin, or with streamEnd if it has no objects.
var (
	streamBegin = append(binary.LittleEndian.AppendUint64(nil, 1), narMagic...)
	streamEnd   = make([]byte, 8)
)

// isStream reports whether head is the beginning of a stream. head may be shorter than a magic number.
func isStream(head []byte) bool { return beginsStream(head) || bytes.Equal(head, streamEnd) }

// beginsStream is isStream for streams that are not empty.
func beginsStream(head []byte) bool {
	begins := func(magic string) bool { return strings.HasPrefix(magic, string(head[:min(len(head), len(magic))])) }
	return len(head) > 0 && (begins(string(streamBegin)) || begins(nario2Magic))
}

// Recognise reports whether head, of at least 32 decompressed bytes, begins an export stream with objects.
func Recognise(head []byte) bool { return len(head) >= len(streamBegin) && beginsStream(head) }

// sniff returns nil for an export stream, and a FormatError for everything else.
func sniff(head []byte) error {
	if isStream(head) {
		return nil
	}
	for _, known := range []struct{ magic, is string }{
		{"NARIO", "a nario stream of another version"},
		{"\x5d\x00\x00", "something compressed with lzma"},
		{"\x1f\x9d", "something compressed with compress"},
		{"\x1f\xa0", "something compressed with compress"},
		{"\x1f\x1e", "something compressed with pack"},
		{"\x1f\x9e", "something compressed with an old gzip"},
		{string(narMagic), "a bare NAR, which contains neither its path nor its references"},
		{"SQLite format 3\x00", "an SQLite database"},
		{"\x7fELF", "a program"},
		{"PK\x03\x04", "a ZIP archive"},
		{"#!", "a script"},
		{"StorePath: ", "a narinfo file of a binary cache"},
		{"/nix/store/", "a list of store paths"},
		{"/gnu/store/", "a list of store paths"},
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
