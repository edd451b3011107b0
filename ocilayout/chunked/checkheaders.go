package chunked

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
)

// addEntry adds the entry whose headers are complete.
func (t *tarScanner) addEntry() error {
	h, err := parseHeaders(t.headers[t.padding:])
	if err != nil {
		return err
	}
	if t.entries.n == MaxEntries {
		return fmt.Errorf("it has more than %d entries", MaxEntries)
	}
	e := tarEntry{before: int16(t.padding), headers: sha256.Sum256(t.headers), frames: t.frames.n}
	if h.Typeflag == tar.TypeReg {
		e.size = h.Size
	}
	t.entries.add(e)
	t.headers, t.padding, t.at, t.want = t.headers[:0], 0, 0, blockSize
	if t.left = e.size; t.left > 0 {
		t.content.Reset()
		t.frame.Reset()
		t.crc = 0
	}
	return nil
}

// parseHeaders parses the headers of one entry, whose contents follow.
func parseHeaders(b []byte) (*tar.Header, error) {
	in := bytes.NewReader(b)
	h, err := tar.NewReader(in).Next()
	if err != nil {
		return nil, unexpected(err)
	}
	fail := func(format string, args ...any) (*tar.Header, error) {
		return nil, &EntryError{h.Name, fmt.Errorf(format, args...)}
	}
	switch {
	case typeOf(h.Typeflag) == "":
		return fail("has the type %q, which a TOC cannot describe", h.Typeflag)
	case in.Len() > 0:
		return fail("has bytes between its headers and its contents")
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fail("is a sparse file, which a TOC cannot describe")
		}
	}
	return h, nil
}

// typeOf returns the type of an entry in a TOC, or "".
func typeOf(flag byte) string {
	switch flag {
	case tar.TypeReg:
		return TypeFile
	case tar.TypeDir:
		return TypeDir
	case tar.TypeSymlink:
		return TypeSymlink
	case tar.TypeLink:
		return TypeHardlink
	case tar.TypeChar:
		return TypeChar
	case tar.TypeBlock:
		return TypeBlock
	case tar.TypeFifo:
		return TypeFifo
	}
	return ""
}
