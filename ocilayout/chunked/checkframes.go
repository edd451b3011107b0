package chunked

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frameReader reads the bytes of a blob frame by frame, without decompressing them. It follows RFC 8878.
type frameReader struct {
	r      *bufio.Reader
	offset int64 // of the next byte in the blob

	head    [18]byte // of the frame or block whose bytes Read returns next
	pending []byte   // the rest of head
	content int64    // the bytes behind pending
	blocks  bool     // a block header follows, unless this was the last block
	last    bool     // the frame ends with this block
	sum     bool     // a checksum follows the last block
}

const frameMagic = 0xFD2FB528

// next goes to the next frame. If it is skippable, its content follows, which has size bytes.
// The error is io.EOF at the end of the blob.
func (f *frameReader) next() (skippable bool, size int64, err error) {
	magic := f.head[:4]
	if n, err := io.ReadFull(f.r, magic); n == 0 && err == io.EOF {
		return false, 0, io.EOF
	} else if err != nil {
		return false, 0, unexpected(err)
	}
	f.offset += 4
	switch m := binary.LittleEndian.Uint32(magic); {
	case m&^0xF == skippableMagic:
		if err := f.full(f.head[:4]); err != nil {
			return false, 0, err
		}
		size = int64(binary.LittleEndian.Uint32(f.head[:4]))
		f.pending, f.content, f.blocks = nil, size, false
		return true, size, nil
	case m != frameMagic:
		return false, 0, fmt.Errorf("byte %d: no frame of zstd begins here", f.offset-4)
	}
	if err := f.full(f.head[4:5]); err != nil {
		return false, 0, err
	}
	flags := f.head[4]
	n := [4]int{0, 1, 2, 4}[flags&3] // the dictionary's number
	if single := flags&0x20 != 0; !single {
		n++ // the window
	} else if flags>>6 == 0 {
		n++ // the size
	}
	n += [4]int{0, 2, 4, 8}[flags>>6] // the size
	if err := f.full(f.head[5 : 5+n]); err != nil {
		return false, 0, err
	}
	f.pending, f.content = f.head[:5+n], 0
	f.blocks, f.last, f.sum = true, false, flags&4 != 0
	return false, 0, nil
}

func (f *frameReader) full(b []byte) error {
	n, err := io.ReadFull(f.r, b)
	f.offset += int64(n)
	return unexpected(err)
}

// Read reads the rest of a frame, or the rest of a skippable frame's content. The error is io.EOF at its end.
func (f *frameReader) Read(p []byte) (int, error) {
	for len(f.pending) == 0 && f.content == 0 {
		if !f.blocks {
			return 0, io.EOF
		}
		if err := f.nextBlock(); err != nil {
			return 0, err
		}
	}
	if len(f.pending) > 0 {
		n := copy(p, f.pending)
		f.pending = f.pending[n:]
		return n, nil
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.content)])
	f.offset += int64(n)
	f.content -= int64(n)
	return n, unexpected(err)
}

// nextBlock reads the header of the next block, or prepares the checksum behind the last one.
func (f *frameReader) nextBlock() error {
	if f.last {
		f.blocks = false
		if f.sum {
			f.content = 4
		}
		return nil
	}
	if err := f.full(f.head[:3]); err != nil {
		return err
	}
	header := uint32(f.head[0]) | uint32(f.head[1])<<8 | uint32(f.head[2])<<16
	f.pending = f.head[:3]
	f.last = header&1 != 0
	f.content = int64(header >> 3)
	switch header >> 1 & 3 {
	case 1: // a byte to repeat
		f.content = 1
	case 3:
		return errors.New("a block has the reserved type")
	}
	return nil
}
