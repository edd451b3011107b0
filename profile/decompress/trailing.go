package decompress

import (
	"bufio"
	"compress/bzip2"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// gzipMagic begins each member of a gzip file.
const gzipMagic = "\x1f\x8b"

// members reads the members of a gzip file, up to the end of the last one.
type members struct {
	r        *bufio.Reader
	z        *gzip.Reader
	trailing func()
}

func newMembers(r *bufio.Reader, trailing func()) (*members, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{r, z, trailing}, nil
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		head, err := m.r.Peek(len(gzipMagic))
		switch {
		case err != nil && err != io.EOF:
			return 0, err
		case len(head) == 0:
			return 0, io.EOF
		case !strings.HasPrefix(gzipMagic, string(head)):
			m.trailing()
			return 0, io.EOF
		}
		if err := m.z.Reset(m.r); err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		} else if err != nil {
			return 0, err
		}
		m.z.Multistream(false)
	}
}

// bzip2Files reads the streams of a bzip2 file, up to the end of the last one.
type bzip2Files struct {
	r        *bufio.Reader
	z        io.Reader
	trailing func()
	last     uint64 // the last bytes that z has read
	before   uint64 // the bytes before them
}

func newBzip2Files(r *bufio.Reader, trailing func()) *bzip2Files {
	b := &bzip2Files{r: r, trailing: trailing}
	b.z = bzip2.NewReader(bzip2Source{b})
	return b
}

func (b *bzip2Files) Read(p []byte) (int, error) {
	n, err := b.z.Read(p)
	if err == bzip2.StructuralError("bad magic value in continuation file") || err == io.ErrUnexpectedEOF && b.oneMore() {
		b.trailing()
		err = io.EOF
	}
	return n, err
}

// oneMore reports whether the file has one byte after the end of a stream.
// Package bzip2 needs two to recognise that no other stream begins there.
//
// A stream ends with the 48 bits 0x177245385090, a checksum of 32 bits, and up to 7 bits of padding.
func (b *bzip2Files) oneMore() bool {
	if byte(b.last) == 'B' {
		return false
	}
	for padding := range 8 {
		end := 8 + padding + 32 // bits after the mark
		if mark := b.last>>end | b.before<<(64-end); mark&(1<<48-1) == 0x177245385090 {
			return true
		}
	}
	return false
}

// bzip2Source implements [io.ByteReader], so that package bzip2 does not read ahead.
type bzip2Source struct{ *bzip2Files }

func (s bzip2Source) ReadByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.before, s.last = s.before<<8|s.last>>56, s.last<<8|uint64(c)
	}
	return c, err
}
