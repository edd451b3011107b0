package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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

const xzMagic = "\xfd7zXZ\x00"

// xzStreams passes the streams of an xz file through, up to the end of the last one, without the padding between them.
//
// Package xz reads ahead, so xzStreams itself finds the end of a stream: a footer (xz-file-format.txt, section 2.1.2)
// at a multiple of four bytes, with a correct checksum and the flags of the stream's header.
//
//	u32(CRC32 of the next six bytes) u32(size of the index) flags flags "YZ"
type xzStreams struct {
	r        *bufio.Reader
	trailing func()

	words [3]uint32 // the last ones passed through
	done  int64     // words of this stream that were passed through
	flags uint16    // from the stream's header
	ended bool      // a footer was passed through
	err   error
}

func (x *xzStreams) Read(p []byte) (int, error) {
	if x.ended && x.err == nil {
		x.err = x.another()
	}
	if x.err != nil {
		return 0, x.err
	}
	if _, err := x.r.Peek(4); err != nil { // also at the end, where fewer bytes follow
		n, _ := x.r.Read(p[:min(len(p), x.r.Buffered())])
		x.err = err
		return n, err
	}
	b, _ := x.r.Peek(min(x.r.Buffered(), len(p)) &^ 3)
	if len(b) == 0 {
		return 0, io.ErrShortBuffer
	}
	n := x.follow(b)
	copy(p, b[:n])
	_, _ = x.r.Discard(n)
	return n, nil
}

// follow returns how many bytes of b belong to the stream.
func (x *xzStreams) follow(b []byte) int {
	for i := 0; i < len(b); i += 4 {
		word := binary.LittleEndian.Uint32(b[i:])
		x.words = [3]uint32{x.words[1], x.words[2], word}
		if x.done++; x.done == 2 {
			x.flags = uint16(word >> 16)
		}
		if x.done > 3 && b[i+2] == 'Y' && b[i+3] == 'Z' && uint16(word) == x.flags && x.isFooter() {
			x.ended = true
			return i + 4
		}
	}
	return len(b)
}

func (x *xzStreams) isFooter() bool {
	var b [6]byte
	binary.LittleEndian.PutUint32(b[:], x.words[1])
	binary.LittleEndian.PutUint16(b[4:], uint16(x.words[2]))
	return crc32.ChecksumIEEE(b[:]) == x.words[0]
}

// another begins another stream. At the end of the file, or before something else, it returns io.EOF.
func (x *xzStreams) another() error {
	zeros := 0
	for {
		head, err := x.r.Peek(len(xzMagic))
		if n := len(head) - len(bytes.TrimLeft(head, "\x00")); n > 0 {
			zeros += n
			_, _ = x.r.Discard(n)
			continue
		}
		switch {
		case err != nil && err != io.EOF:
			return err
		case len(head) == 0 && zeros%4 == 0:
			return io.EOF
		case len(head) == 0, !strings.HasPrefix(xzMagic, string(head)):
			x.trailing()
			return io.EOF
		case zeros%4 != 0:
			return fmt.Errorf("another stream follows %d zeros, not a multiple of four", zeros)
		}
		x.ended, x.done = false, 0
		return nil
	}
}
