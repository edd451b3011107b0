package chunked

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Scanner follows a tar as its bytes pass by. It tells headers from the contents of files, and writes the tar-split data.
//
// It reads tars of this program: USTAR headers, PAX headers for single entries, and two blocks of zeros at the end.
type Scanner struct {
	raw   []byte // what came since the last content: padding, and headers that are not complete yet
	need  int    // length of raw with which the next step is possible
	head  int    // where in raw the header of the next entry begins
	block int    // where in raw the last block that was asked for begins
	left  int64  // bytes of the current file that are still to come
	sum   uint64 // CRC-64 of those that came
	ended bool   // the blocks of zeros began
	entry Entry  // the current one

	split *tarSplit
}

const blockSize = 512

// newScanner returns a scanner that writes tar-split data to split.
func newScanner(split *tarSplit) *Scanner { return &Scanner{need: blockSize, split: split} }

// Event says what Next found behind the bytes that it took.
type Event int

const (
	Nothing Event = iota
	Begun         // an entry begins; the bytes of a file follow
	Ended         // a file ends
)

// maxHeaders limits the PAX headers of an entry.
const maxHeaders = 1 << 20

// Next takes n bytes of b. Either all are the content of a file, or none is. It does not keep b.
// After [Begun], Entry describes the entry. An entry of a file that is not empty ends with [Ended], any other at once.
func (s *Scanner) Next(b []byte) (n int, content bool, event Event, err error) {
	if s.left > 0 {
		n = int(min(int64(len(b)), s.left))
		s.sum = crc64Of(s.sum, b[:n])
		if s.left -= int64(n); s.left > 0 {
			return n, true, Nothing, nil
		}
		padding := int(-s.entry.Size & (blockSize - 1))
		s.head, s.block, s.need = padding, padding, padding+blockSize
		return n, true, Ended, s.split.file(s.entry.Name, s.entry.Size, s.sum)
	}
	if s.ended {
		s.raw = append(s.raw, b...)
		if len(s.raw) > maxHeaders {
			return 0, false, Nothing, errors.New("bytes behind the end of the tar")
		}
		return len(b), false, Nothing, nil
	}
	n = min(len(b), s.need-len(s.raw))
	s.raw = append(s.raw, b[:n]...)
	if len(s.raw) == s.need {
		event, err = s.header()
	}
	return n, false, event, err
}

// header does the next step with a complete block.
func (s *Scanner) header() (Event, error) {
	block := s.raw[s.block:]
	switch {
	case len(block) > blockSize: // the records of a PAX header; the header of the entry comes next
		s.block, s.need = s.need, s.need+blockSize
		return Nothing, nil
	case [blockSize]byte(block) == [blockSize]byte{}:
		s.ended = true
		return Nothing, nil
	}
	if block[156] == tar.TypeXHeader {
		size, err := strconv.ParseInt(strings.Trim(string(block[124:136]), "\x00 "), 8, 64)
		if err != nil || size <= 0 || size > maxHeaders || len(s.raw) > maxHeaders {
			return Nothing, fmt.Errorf("a PAX header of size %q", block[124:136])
		}
		s.need += int(size + (-size & (blockSize - 1)))
		return Nothing, nil
	}
	h, err := tar.NewReader(bytes.NewReader(s.raw[s.head:])).Next()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Nothing, fmt.Errorf("read tar header: %w", err)
	}
	if s.entry, err = newEntry(h); err != nil {
		return Nothing, err
	}
	if err := s.split.segment(s.raw); err != nil {
		return Nothing, err
	}
	s.raw, s.head, s.block, s.need = s.raw[:0], 0, 0, blockSize
	if s.entry.Type == TypeFile && s.entry.Size > 0 {
		s.left, s.sum = s.entry.Size, 0
		return Begun, nil
	}
	return Begun, s.split.file(s.entry.Name, 0, 0)
}

// Entry returns the current entry, as it is in the TOC without what says where its content lies.
func (s *Scanner) Entry() *Entry { return &s.entry }

// Close ends the tar-split data. It is an error if the tar is not complete.
func (s *Scanner) Close() error {
	if s.left > 0 || !s.ended {
		return fmt.Errorf("read tar: %w", io.ErrUnexpectedEOF)
	}
	return s.split.segment(s.raw)
}

const xattrRecord = "SCHILY.xattr."

// newEntry converts a tar's header.
func newEntry(h *tar.Header) (Entry, error) {
	e := Entry{Name: h.Name, LinkName: h.Linkname, Mode: h.Mode, UID: h.Uid, GID: h.Gid, DevMajor: h.Devmajor, DevMinor: h.Devminor}
	switch h.Typeflag {
	case tar.TypeReg:
		e.Type, e.Size = TypeFile, h.Size
	case tar.TypeDir:
		e.Type = TypeDir
	case tar.TypeSymlink:
		e.Type = TypeSymlink
	case tar.TypeLink:
		e.Type = TypeHardlink
	case tar.TypeChar:
		e.Type = TypeChar
	case tar.TypeBlock:
		e.Type = TypeBlock
	case tar.TypeFifo:
		e.Type = TypeFifo
	default:
		return e, fmt.Errorf("tar entry %q: unknown type %q", h.Name, h.Typeflag)
	}
	if e.Type != TypeFile && h.Size != 0 {
		return e, fmt.Errorf("tar entry %q: %d bytes of content, but no file", h.Name, h.Size)
	}
	if !h.ModTime.IsZero() {
		e.ModTime = h.ModTime.UTC().Format(time.RFC3339Nano)
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok {
			continue
		}
		if e.Xattrs == nil {
			e.Xattrs = make(map[string]string)
		}
		e.Xattrs[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return e, nil
}
