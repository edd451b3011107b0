// Package xz decompresses files in the format of xz (xz-file-format.txt 1.2).
//
// It is strict: all sizes, checks, padding and reserved bits must be right. It knows
//
//   - one or several streams, with padding between and after them
//   - blocks, with or without their sizes in the header
//   - the checks none, CRC32, CRC64 and SHA-256
//   - LZMA2, alone or behind up to three of the filters Delta, x86, PowerPC, IA-64, ARM, ARM Thumb, ARM64 and SPARC
//
// Anything else is an error that wraps [errors.ErrUnsupported].
//
// Blocks do not depend on each other. [Reader.NextBlock] finds them, so that several can be decompressed at once.
//
// A [Reader] holds one chunk of LZMA2 (64 KiB) and the window, which grows as output arrives to the size that the block declares,
// and 2 MiB. [Options] limit that size. Nothing else grows with the input: of the blocks' sizes it keeps a hash.
package xz

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Magic begins each stream.
const Magic = "\xfd7zXZ\x00"

// Options limit what a Reader reads.
type Options struct {
	// Window limits how many bytes back a stream may refer to its own output. A larger window is a [lzma.WindowError].
	Window uint64
	// Trailing is called if other data follow the last stream; the Reader ends there.
	// If it is nil, such data are an error. If they begin like a stream, they must be one.
	Trailing func()
}

// Reader decompresses streams. An early end is io.ErrUnexpectedEOF.
type Reader struct {
	options Options
	r       *bufio.Reader
	stage   stage
	alone   bool   // Read ends after one block: see ResetBlock
	packed  uint64 // what ReadPacked has not read yet of the block
	stream  stream
	block   block
	lzma    lzma2

	piece []byte // decompressed, but not read yet; valid until the next chunk
	err   error
}

type stage int

const (
	atStart stage = iota // of the first stream
	atBlock              // or at the index
	atChunk
	atEnd      // of a stream
	afterBlock // of ResetBlock
)

// NewReader returns a Reader of r. It reads nothing yet, but Read may read more than the streams.
func NewReader(r io.Reader, o Options) *Reader {
	z := &Reader{r: bufio.NewReaderSize(nil, 32<<10)}
	z.Reset(r, o)
	return z
}

// Reset makes z a reader of r. It keeps the window for reuse; its content cannot reach the new output.
func (z *Reader) Reset(r io.Reader, o Options) {
	z.r.Reset(r)
	z.options, z.stage, z.alone, z.piece, z.err = o, atStart, false, nil, nil
	z.block = block{}
}

// Memory returns how many bytes the window takes.
func (z *Reader) Memory() int { return z.lzma.Memory() }

func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(z.piece) == 0 {
		if z.err == nil {
			z.piece, z.err = z.next()
		}
		if z.err != nil {
			return 0, z.err
		}
	}
	n := copy(p, z.piece)
	z.piece = z.piece[n:]
	return n, nil
}

// next returns the next piece of output, which may be empty. An error comes without a piece.
func (z *Reader) next() ([]byte, error) {
	switch z.stage {
	case atStart:
		if err := z.beginStream(); err != nil {
			return nil, err
		}
		z.stage = atBlock
	case atBlock:
		more, err := z.beginBlock()
		if err != nil {
			return nil, err
		}
		if z.stage = atChunk; !more {
			z.stage = atEnd
		}
	case atChunk:
		piece, err := z.lzma.chunk(z.r)
		if err != nil && err != io.EOF {
			return nil, early(err)
		}
		if err == io.EOF {
			if z.stage = atBlock; z.alone {
				z.stage = afterBlock
			}
			return z.endBlock()
		}
		return z.block.take(piece, z.lzma.read)
	case atEnd:
		if err := z.another(); err != nil {
			return nil, err
		}
		z.stage = atStart
	case afterBlock:
		return nil, io.EOF
	}
	return nil, nil
}

// another finds another stream behind padding. At the end of the file, or before something else, it returns io.EOF.
func (z *Reader) another() error {
	zeros := 0
	for {
		c, err := z.r.ReadByte()
		if err == io.EOF && zeros%4 == 0 {
			return io.EOF
		}
		if err != nil && err != io.EOF {
			return err
		}
		if err == nil && c == 0 {
			zeros++
			continue
		}
		if err == nil {
			_ = z.r.UnreadByte() // cannot fail after ReadByte
		}
		const enough = 4 // bytes of the magic number to expect a stream
		head, err := z.r.Peek(enough)
		if err != nil && err != io.EOF {
			return err
		}
		if len(head) > 0 && string(head) == Magic[:len(head)] {
			if zeros%4 != 0 {
				return fmt.Errorf("another stream follows %d zeros, not a multiple of four", zeros)
			}
			return nil
		}
		if z.options.Trailing == nil {
			if len(head) == 0 {
				return fmt.Errorf("%d zeros follow the last stream, not a multiple of four", zeros)
			}
			return errors.New("data after the last stream")
		}
		z.options.Trailing()
		return io.EOF
	}
}

// early turns io.EOF into io.ErrUnexpectedEOF.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
