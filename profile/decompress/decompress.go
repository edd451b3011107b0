// Package decompress decompresses NARs, export streams and tars.
//
// A binary cache names the compression of a file ([NewReader]). Other files are recognised by their first bytes ([Sniff]),
// never by their names. A file may consist of several streams, frames or members; all are read.
//
// Memory is bounded by MaxWindow and a few megabytes. A stream that needs a larger window is a [WindowError].
//
// # Workers
//
// [Workers] decode several pieces of one file at once: frames of zstd, as Nix and pzstd write them, and blocks of xz that declare their sizes,
// as those of xz -T. A program makes one value of them and passes it to all stores that it reads. So many NARs that are read at once
// share a number of goroutines and an amount of memory, and another store in the same process has its own.
// A reader never waits for a worker or for memory that another reader has: it decodes a piece itself instead.
//
// The bytes and errors are those of a reader without workers, however many there are. An error comes when its piece has its turn.
// The first piece is never given to a worker, nor is the first megabyte of a file, so that small files and those in one piece cost nothing.
//
// A piece is in memory as it is in the file until it is decoded, and decoded until it is read. Memory is set aside for the sizes that it declares,
// or for a fixed one if it is a frame that does not declare any, but taken only as bytes arrive. A piece that exceeds what was set aside
// waits for its turn, and is decoded while it is read. Each decoder also has a window of up to 8 MiB. Pieces with a window above 8 MiB, blocks of xz without sizes,
// and pieces that are larger than all the memory are decoded by the reader, as without workers.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/export-profile/export-profile/profile/decompress/lzip"
	"github.com/export-profile/export-profile/profile/decompress/lzma"
	"github.com/export-profile/export-profile/profile/decompress/xz"
)

// MaxWindow limits how many bytes back a stream may refer to its own output.
// `xz -9` and `zstd --long` need no more.
const MaxWindow = 128 << 20

// WindowError reports that a stream needs too much memory.
type WindowError struct {
	Compression string
	Size        uint64 // of the window, or 0 if the beginning of the stream does not contain it
}

func (e *WindowError) Error() string {
	s := fmt.Sprintf("%s: window larger than %d MiB", e.Compression, MaxWindow>>20)
	if e.Size > 0 {
		s += fmt.Sprintf(": %d bytes", e.Size)
	}
	return s
}

// magics holds the first bytes of compressed files. Brotli has none.
var magics = map[string][]string{
	"gzip":  {gzipMagic},
	"zstd":  new(zstdFormat).magics(),
	"xz":    {xz.Magic},
	"bzip2": {"BZh"},
	"lz4":   new(lz4Format).magics(),
	"lzip":  {lzip.Magic},
}

// SniffLen is how many bytes Sniff needs, unless larger skippable frames come first.
const SniffLen = 512

// Sniff returns the name of the compression of a file that begins with head, or "" if it knows none.
// A file of zstd or lz4 may begin with skippable frames, as that of pzstd does. Sniff looks behind them.
// If head ends before any other frame, Sniff returns zstd.
func Sniff(head []byte) string {
	skipped := false
	for isSkippable(string(head[:min(len(head), magicSize)])) {
		skipped = true
		size := int64(8)
		if len(head) >= 8 {
			size += int64(binary.LittleEndian.Uint32(head[4:]))
		}
		head = head[min(size, int64(len(head))):]
	}
	for name, all := range magics {
		for _, magic := range all {
			if bytes.HasPrefix(head, []byte(magic)) && (!skipped || name == "lz4") {
				return name
			}
		}
	}
	if skipped {
		return "zstd"
	}
	return ""
}

// NewReader decompresses r. Compressions have the names of binary caches:
// none, gzip, xz, zstd, bzip2, br, lz4 and lzip. An empty name means bzip2 (libstore/nar-info.cc).
// For other names the error wraps errors.ErrUnsupported.
//
// Close frees the decompressor. It does not close r.
// An early end is io.ErrUnexpectedEOF.
func NewReader(name string, r io.Reader) (io.ReadCloser, error) {
	return newReader(name, r, nil)
}

// NewFileReader is like NewReader, but it accepts trailing data:
// the reader ends where the compressed data end, and calls trailing if more bytes follow.
// If they begin like compressed data of the same kind, they must be such data.
func NewFileReader(name string, r io.Reader, trailing func()) (io.ReadCloser, error) {
	return newReader(name, r, trailing)
}

func newReader(name string, r io.Reader, trailing func()) (io.ReadCloser, error) {
	switch name {
	case "none":
		return io.NopCloser(r), nil
	case "", "bzip2":
		if trailing != nil {
			return reader("bzip2", newBzip2Files(bufio.NewReader(r), trailing), nil), nil
		}
		return reader("bzip2", bzip2.NewReader(bufio.NewReader(r)), nil), nil
	case "gzip":
		if trailing != nil {
			z, err := newMembers(bufio.NewReader(r), trailing)
			if err != nil {
				return nil, wrap(name, err)
			}
			return reader(name, z, nil), nil
		}
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, wrap(name, err)
		}
		return reader(name, z, nil), nil
	case "xz":
		z, free := newXZ(r, trailing)
		return reader(name, z, free), nil
	case "lzip":
		z, free := newLzip(r, trailing)
		return reader(name, z, free), nil
	case "zstd":
		if trailing != nil {
			r = newFrames(r, &zstdFormat{}, trailing)
		}
		h := &headReader{r: r}
		z, free, err := newZstd(h)
		if err != nil {
			return nil, wrap(name, err)
		}
		d := reader(name, z, free)
		d.window = h.window
		return d, nil
	case "br":
		return reader(name, brotli.NewReader(r), nil), nil
	case "lz4":
		return reader(name, lz4.NewReader(newFrames(r, &lz4Format{}, trailing)), nil), nil
	}
	return nil, fmt.Errorf("compression %q: %w", name, errors.ErrUnsupported)
}

// decompressor unifies the errors of all libraries.
type decompressor struct {
	io.Reader
	name   string
	free   func()
	window func() uint64 // returns the window that the stream declares at its beginning; may be nil
	ended  bool          // Reader has returned io.EOF; not every library repeats it
}

func reader(name string, r io.Reader, free func()) *decompressor {
	return &decompressor{Reader: r, name: name, free: free}
}

func (d *decompressor) Read(p []byte) (int, error) {
	if d.ended {
		return 0, io.EOF
	}
	n, err := d.Reader.Read(p)
	if d.ended = err == io.EOF; err != nil && !d.ended {
		err = d.wrap(err)
	}
	return n, err
}

func (d *decompressor) wrap(err error) error {
	err = wrap(d.name, err)
	if w, ok := err.(*WindowError); ok && d.window != nil {
		if size := d.window(); size > MaxWindow { // otherwise a later frame needs the window
			w.Size = size
		}
	}
	return err
}

func (d *decompressor) Close() error {
	d.Reader, d.ended = closedReader{}, false // another stream may use the decoder now
	if d.free != nil {
		d.free()
		d.free = nil
	}
	return nil
}

type closedReader struct{}

func (closedReader) Read([]byte) (int, error) { return 0, fs.ErrClosed }

func wrap(name string, err error) error {
	var window *lzma.WindowError
	switch {
	case errors.As(err, &window):
		return &WindowError{Compression: name, Size: window.Size}
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &WindowError{Compression: name}
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("decompress %s: %w", name, err)
}
