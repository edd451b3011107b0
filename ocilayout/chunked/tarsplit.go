package chunked

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"strconv"
)

// Types of lines of tar-split data, as github.com/vbatts/tar-split/tar/storage has them.
const (
	lineFile    = 1 // an entry of the tar; the payload is the CRC-64 of a file, big endian
	lineSegment = 2 // bytes of the tar that are not the content of a file
)

// tarSplit writes tar-split data: a line of JSON for what lies between two files, and one for each entry.
// The tar can be put together again from it and the contents of the files.
// The lines are those that github.com/vbatts/tar-split writes for the same tar.
type tarSplit struct {
	w     io.Writer
	line  []byte
	count int64 // lines so far
}

// segment writes bytes of the tar, if there are any: padding and the headers of the next entry.
func (t *tarSplit) segment(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	line := append(t.line[:0], `{"type":2,"payload":"`...)
	line = base64.StdEncoding.AppendEncode(line, b)
	return t.end(append(line, '"'))
}

// file writes an entry, with the size and the CRC-64 of its content.
func (t *tarSplit) file(name string, size int64, sum uint64) error {
	line := append(t.line[:0], `{"type":1,"name":`...)
	line = appendString(line, name)
	if size == 0 {
		return t.end(append(line, `,"payload":null`...))
	}
	line = append(line, `,"size":`...)
	line = strconv.AppendInt(line, size, 10)
	line = append(line, `,"payload":"`...)
	line = base64.StdEncoding.AppendEncode(line, binary.BigEndian.AppendUint64(nil, sum))
	return t.end(append(line, '"'))
}

// end writes the line, with its number.
func (t *tarSplit) end(line []byte) error {
	line = append(line, `,"position":`...)
	line = strconv.AppendInt(line, t.count, 10)
	t.count++
	t.line = append(line, '}', '\n')
	_, err := t.w.Write(t.line)
	return err
}
