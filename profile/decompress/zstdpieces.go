package decompress

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdPieces splits a file of zstd into frames, and skips skippable frames. What does not look like a frame is one piece with all that follows:
// package zstd reports what is wrong with it.
type zstdPieces struct {
	f        *frames
	file     bool // other data may follow; see NewFileReader
	trailing bool // they do
	rest     bool // the piece is not a frame
	begun    bool // to read the frame
}

// The memory for a frame that does not declare its size. Those of pzstd have 8 MiB by default, and are a third of that packed.
// A frame that is larger waits for its turn.
const frameSize, framePacked = 16 << 20, 8 << 20

func newZstdPieces(r io.Reader, file bool) *zstdPieces {
	f := &zstdPieces{file: file}
	f.f = &frames{r: bufio.NewReaderSize(r, 64<<10), format: &zstdFormat{}, trailing: func() { f.trailing = true }}
	return f
}

func (f *zstdPieces) find() (piece, error) {
	f.begun = false
	for {
		magic, err := f.f.r.Peek(magicSize)
		switch {
		case err != nil && err != io.EOF:
			return piece{}, err
		case isSkippable(string(magic)):
			f.f.started = true
			if err := f.skip(); err != nil {
				return piece{}, err
			}
		case string(magic) == zstdMagic:
			return f.frame()
		case f.file:
			_, err := f.f.begin(string(magic))
			return piece{}, err
		case len(magic) == 0:
			return piece{}, io.EOF
		default:
			f.rest = true
			return piece{}, nil
		}
	}
}

// skip skips a skippable frame.
func (f *zstdPieces) skip() error {
	head, err := f.f.r.Peek(2 * magicSize)
	if err == nil {
		size := int64(binary.LittleEndian.Uint32(head[magicSize:]))
		_, err = io.CopyN(io.Discard, f.f.r, 2*magicSize+size)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// frame describes the frame that comes next.
func (f *zstdPieces) frame() (piece, error) {
	head, _ := f.f.r.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	if h.Decode(head) != nil {
		return piece{}, nil // decoding it reports that
	}
	p := piece{packed: framePacked, size: frameSize, known: h.HasFCS}
	window := h.WindowSize
	if h.HasFCS {
		const most = 1 << 30 // is far too large, and fits into an int
		p.size = int(min(h.FrameContentSize, most))
		p.packed = p.size / 2
	}
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	p.apart = h.DictionaryID == 0 && window <= maxPooledWindow
	return p, nil
}

// Read reads the rest of a frame.
func (f *zstdPieces) Read(p []byte) (int, error) {
	switch {
	case f.rest:
		return f.f.r.Read(p)
	case f.begun && f.f.want == 0 && f.f.pass == 0:
		return 0, io.EOF
	}
	f.begun = true
	return f.f.Read(p)
}

func (f *zstdPieces) decoder(_ piece, r io.Reader) (io.Reader, func(), error) {
	return newZstd(&headReader{r: r})
}

func (f *zstdPieces) foundTrailing() bool { return f.trailing }

func (f *zstdPieces) close() {}
