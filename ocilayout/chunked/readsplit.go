package chunked

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// SplitPart is a line of tar-split data: a segment of the tar, or what the contents of an entry were.
// The tar is all segments, with the contents of each entry at its place.
type SplitPart struct {
	Segment []byte // nil for the contents of an entry
	Name    string // of an entry
	Size    int64  // of an entry's contents
	CRC     uint64 // of an entry's contents, if they are not empty; CRC-64 of ISO 3309
}

// SplitReader reads tar-split data, as github.com/vbatts/tar-split writes them, part by part.
// It checks that the parts are numbered, that no name occurs twice, and that the contents have a size and a sum.
type SplitReader struct {
	table *tableReader
	json  *jsonReader
	names map[nameHash]struct{}
	count int64
	part  SplitPart
	name  []byte // of part, or empty
	bytes []byte // the payload of part
	err   error  // what Next returns from now on
}

// NewSplitReader reads the compressed tar-split data from r, and checks their digest, which the TOC has.
// From r it reads loc.TarSplit.Length bytes, which are those of the blob from loc.TarSplit.Offset on.
func NewSplitReader(r io.Reader, loc Location, want digest.Digest) (*SplitReader, error) {
	t, err := openTable(r, loc.TarSplit, maxTarSplit, want)
	if err != nil {
		return nil, fmt.Errorf("read tar-split data: %w", err)
	}
	return newSplitReader(t), nil
}

func newSplitReader(t *tableReader) *SplitReader {
	return &SplitReader{table: t, json: newJSONReader(t), names: make(map[nameHash]struct{})}
}

// Close releases memory.
func (s *SplitReader) Close() { s.table.close() }

// Next returns the next part, which is valid until the next call, and io.EOF after the last one.
// Errors about an entry are of type [*EntryError].
func (s *SplitReader) Next() (*SplitPart, error) {
	if s.err == nil {
		if s.err = s.next(); s.err != nil && s.err != io.EOF {
			s.err = fmt.Errorf("read tar-split data: %w", s.err)
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	return &s.part, nil
}

var splitFields = []string{"type", "name", "name_raw", "size", "payload", "position"}

func (s *SplitReader) next() error {
	if _, err := s.json.next(); errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	} else if err != nil {
		return err
	}
	s.part = SplitPart{}
	s.name, s.bytes = s.name[:0], s.bytes[:0]
	partType, position := int64(0), int64(-1)
	if err := s.json.object(splitFields, func(field string) (err error) {
		var b []byte
		switch field {
		case "type":
			partType, err = s.json.number()
		case "name", "name_raw":
			if len(s.name) > 0 {
				return errors.New("it has two names")
			}
			if field == "name" {
				b, err = s.json.bytes()
			} else {
				b, err = s.json.base64()
			}
			s.name = append(s.name, b...)
		case "size":
			s.part.Size, err = s.json.number()
		case "payload":
			b, err = s.json.base64()
			s.bytes = append(s.bytes, b...)
		case "position":
			position, err = s.json.number()
		}
		return err
	}); err != nil {
		return fmt.Errorf("part %d: %w", s.count, err)
	}
	if position != s.count {
		return fmt.Errorf("part %d: its position is %d", s.count, position)
	}
	s.count++
	s.part.Name = string(s.name)
	switch {
	case partType == lineSegment && (s.part.Name != "" || s.part.Size != 0):
		return fmt.Errorf("part %d: a segment has a name or a size", position)
	case partType == lineSegment:
		if s.part.Segment = s.bytes; s.bytes == nil {
			s.part.Segment = []byte{}
		}
		return nil
	case partType != lineFile:
		return fmt.Errorf("part %d: unknown type %d", position, partType)
	}
	if err := s.checkFile(s.bytes); err != nil {
		return &EntryError{s.part.Name, err}
	}
	return nil
}

func (s *SplitReader) checkFile(sum []byte) error {
	clean, err := cleanName(s.part.Name)
	if err != nil {
		return err
	}
	key := hashName(clean)
	if _, ok := s.names[key]; ok {
		return errors.New("occurs twice")
	}
	if len(s.names) == MaxEntries {
		return fmt.Errorf("it has more than %d entries", MaxEntries)
	}
	s.names[key] = struct{}{}
	want := 8
	if s.part.Size == 0 {
		want = 0
	}
	if len(sum) != want {
		return fmt.Errorf("its sum has %d bytes, want %d", len(sum), want)
	}
	for _, b := range sum {
		s.part.CRC = s.part.CRC<<8 | uint64(b)
	}
	return nil
}
