// Package lzip decompresses files in the format of lzip (the chapter "File format" of its manual).
//
// A file consists of one or several members:
//
//	"LZIP" u8(1) u8(size of the window) LZMA u32(CRC32) u64(size of the output) u64(size of the member)
//
// Numbers are little-endian. LZMA has the properties lc=3, lp=0 and pb=2, and ends with a marker.
//
// The package is strict: all fields must be right, and a member among several must not be empty.
// Version 0, which had no marker, is an error that wraps [errors.ErrUnsupported].
//
// A [Reader] holds 64 KiB of input and the window, which grows as output arrives to the size that the member declares,
// and 2 MiB. [Options] limit that size.
package lzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/export-profile/export-profile/profile/decompress/lzma"
)

// Magic begins each member.
const Magic = "LZIP"

// Options limit what a Reader reads.
type Options struct {
	// Window limits how many bytes back a member may refer to its own output. A larger window is a [lzma.WindowError].
	Window uint64
	// Trailing is called if other data follow the last member; the Reader ends there.
	// If it is nil, such data are an error. If they begin like a member, they must be one.
	Trailing func()
}

// Reader decompresses members. An early end is io.ErrUnexpectedEOF.
type Reader struct {
	options Options
	lzma    lzma.Stream
	stage   stage
	member  member

	piece []byte // decompressed, but not read yet; valid until the next one
	err   error  // comes behind piece
}

// member is what the trailer of a member must confirm.
type member struct {
	offset uint64 // in the file
	size   uint64 // of the output so far
	crc    uint32
}

type stage int

const (
	atMember stage = iota
	atPiece
	atTrailer
	atEnd // of a member
)

// NewReader returns a Reader of r. It reads nothing yet, but Read may read more than the members.
func NewReader(r io.Reader, o Options) *Reader {
	z := new(Reader)
	z.Reset(r, o)
	return z
}

// Reset makes z a reader of r. It keeps the window for reuse; its content cannot reach the new output.
func (z *Reader) Reset(r io.Reader, o Options) {
	z.lzma.ResetInput(r)
	z.options, z.stage, z.piece, z.err = o, atMember, nil, nil
}

// Memory returns how many bytes the window takes.
func (z *Reader) Memory() int { return z.lzma.Memory() }

func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(z.piece) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.piece, z.err = z.next()
	}
	n := copy(p, z.piece)
	z.piece = z.piece[n:]
	return n, nil
}

// next returns the next piece of output, which may be empty. An error may come with a piece.
func (z *Reader) next() (piece []byte, err error) {
	switch z.stage {
	case atMember:
		err = z.begin()
		z.stage = atPiece
	case atPiece:
		piece, err = z.lzma.Next()
		z.member.crc = crc32.Update(z.member.crc, crc32.IEEETable, piece)
		z.member.size += uint64(len(piece))
		if err == io.EOF {
			z.stage, err = atTrailer, nil
		}
	case atTrailer:
		err = z.end()
		z.stage = atEnd
	case atEnd:
		err = z.another()
		z.stage = atMember
	}
	return piece, err
}

// begin reads a member's header.
func (z *Reader) begin() error {
	const size = len(Magic) + 2
	z.member = member{offset: z.lzma.Offset()}
	head, err := z.lzma.Peek(size)
	if n := min(len(head), len(Magic)); string(head[:n]) != Magic[:n] {
		return errors.New("not a file of lzip")
	}
	if err != nil {
		return early(err)
	}
	window, err := windowSize(head[5])
	switch {
	case head[4] != 1:
		return fmt.Errorf("version %d of the format: %w", head[4], errors.ErrUnsupported)
	case err != nil:
		return err
	case window > z.options.Window:
		return &lzma.WindowError{Size: window}
	}
	z.lzma.Skip(size)
	const properties = (2*5+0)*9 + 3 // pb, lp, lc
	z.lzma.SetProperties(properties)
	z.lzma.SetWindow(int(window))
	return z.lzma.Begin()
}

// windowSize decodes the size of a window: a power of two, less up to 7/16.
func windowSize(b byte) (uint64, error) {
	base := uint64(1) << (b & 0x1f)
	size := base - base/16*uint64(b>>5)
	if size < 4<<10 || size > 512<<20 {
		return 0, fmt.Errorf("size %#x of a window", b)
	}
	return size, nil
}

var errEmpty = errors.New("one of several members is empty")

// end reads a member's trailer. Its size is what lzma.Stream needs behind a stream.
func (z *Reader) end() error {
	const size = lzma.LongestSymbol
	b, err := z.lzma.Peek(size)
	if err != nil {
		return early(err)
	}
	z.lzma.Skip(size)
	switch {
	case binary.LittleEndian.Uint32(b) != z.member.crc:
		return errors.New("the content of a member differs from its checksum")
	case binary.LittleEndian.Uint64(b[4:]) != z.member.size,
		binary.LittleEndian.Uint64(b[12:]) != z.lzma.Offset()-z.member.offset:
		return errors.New("a member has another size than its trailer says")
	case z.member.size == 0 && z.member.offset > 0:
		return errEmpty
	}
	return nil
}

// another finds another member. At the end of the file, or before something else, it returns io.EOF.
func (z *Reader) another() error {
	head, err := z.lzma.Peek(len(Magic))
	switch {
	case err != nil && err != io.EOF:
		return err
	case len(head) == 0:
		return io.EOF
	case strings.HasPrefix(Magic, string(head)):
		if z.member.size == 0 {
			return errEmpty
		}
		return nil
	case z.options.Trailing == nil:
		return errors.New("data after the last member")
	case similar(head):
		return errors.New("the header of a member is damaged")
	}
	z.options.Trailing()
	return io.EOF
}

// similar reports whether most of head is like Magic. The manual tells a damaged header from trailing data like this.
func similar(head []byte) bool {
	same := 0
	for i, c := range head {
		if c == Magic[i] {
			same++
		}
	}
	return same >= 2
}

// early turns io.EOF into io.ErrUnexpectedEOF.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
