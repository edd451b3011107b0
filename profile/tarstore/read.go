package tarstore

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile/input"
)

const blockSize = 512

// Recognise reports whether head, of at least 512 decompressed bytes, begins a tar archive.
func Recognise(head []byte) bool {
	if len(head) < blockSize {
		return false
	}
	head = head[:blockSize]
	if isZero(head) {
		return true // an empty archive
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	// An EOF means that the header is valid and only the rest is missing.
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) } // fast

// readAll adds all entries of the archive, and checks its end.
//
// Package archive/tar reads headers block by block and never ahead,
// so after a header the input is at the beginning of the content.
func (b *builder) readAll() error {
	at := &position{in: b.in}
	r := tar.NewReader(at)
	end := int64(0) // of the last entry
	for n := 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			return b.checkEnd(at, end)
		}
		if h == nil {
			return fmt.Errorf("at byte %d: %w", at.off, err)
		}
		if n == maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		end = wholeBlocks(at.off) // after a global header, the offset is within a block
		if !headerOnly(h.Typeflag) {
			if h.Size > 1<<62 {
				return fmt.Errorf("%.255q: file of %d bytes", h.Name, h.Size)
			}
			end += wholeBlocks(h.Size)
		}
		if err := b.addHeader(h, at.off); err != nil {
			return fmt.Errorf("%.255q: %w", h.Name, err)
		}
	}
}

func wholeBlocks(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// headerOnly reports whether entries of a type have no content, even if they declare a size.
func headerOnly(flag byte) bool {
	switch flag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return true
	}
	return false
}

func (b *builder) addHeader(h *tar.Header, offset int64) error {
	if h.Typeflag == tar.TypeGNUSparse || isSparse(h) {
		return errors.New("sparse files are not supported: write the tar without --sparse")
	}
	n := node{kind: other}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		n = node{kind: file, executable: h.Mode&0o100 != 0, offset: offset, size: h.Size}
	case tar.TypeDir, typeDumpDir:
		n.kind = directory
	case tar.TypeSymlink:
		n.kind, n.target = link, strings.Clone(h.Linkname)
	case tar.TypeLink:
		n.kind, n.target = hardLink, strings.Clone(h.Linkname)
		if _, err := elements(n.target); err != nil {
			return fmt.Errorf("hard link to %.255q: %w", n.target, err)
		}
	case tar.TypeXGlobalHeader:
		// A global header applies to all entries that follow. Refuse one that would change their names or sizes.
		for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if key == "path" || key == "linkpath" || key == "size" || strings.HasPrefix(key, "GNU.sparse.") {
				return fmt.Errorf("global header that sets %q", key)
			}
		}
		return nil
	case typeVolume:
		return nil
	case typeMulti:
		return errors.New("the file begins in another volume: join the volumes first")
	}
	return b.add(h.Name, n)
}

// These types of GNU tar need special treatment.
const (
	typeDumpDir = 'D' // a directory with a list of its files
	typeVolume  = 'V' // the archive's label
	typeMulti   = 'M' // the rest of a file from another volume
)

func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// checkEnd checks that the archive ends after its last entry.
// archive/tar also reports EOF if the archive was truncated after an entry.
func (b *builder) checkEnd(at *position, end int64) error {
	var block [blockSize]byte
	if n, err := b.in.ReadAt(block[:], end); n < blockSize {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("at byte %d: %w", at.off, err)
	}
	if !isZero(block[:]) {
		return fmt.Errorf("at byte %d: %w", at.off, io.ErrUnexpectedEOF) // cut after an extension header
	}
	b.in.Forget()
	return b.readTrailing(at)
}

// readTrailing reads what follows the archive: usually zeros.
// It may also be whatever a raw device contained before the archive was written to it. Other programs ignore it.
// Another archive is an error, since ignoring it loses its files.
func (b *builder) readTrailing(at *position) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(at, buf)
		if rest := bytes.TrimLeft(buf[:n], "\x00"); len(rest) > 0 && !b.trailing {
			begin := (n - len(rest)) / blockSize * blockSize
			if Recognise(buf[begin:n]) {
				return fmt.Errorf("at byte %d: another archive begins here: write all files into one, or read the archives one by one", at.off-int64(n-begin))
			}
			b.trailing = true
		}
		switch {
		case b.trailing && b.in.Compression() == "", err == io.EOF, err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return fmt.Errorf("after the end of the archive: %w", err)
		}
	}
}

// position counts the bytes consumed from an input, and lets archive/tar skip contents without reading them.
type position struct {
	in  *input.Input
	off int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.off += int64(n)
	return n, err
}

// Seek supports only forward seeks from the current position, which archive/tar uses.
func (p *position) Seek(n int64, whence int) (int64, error) {
	if whence != io.SeekCurrent || n < 0 {
		return 0, errors.ErrUnsupported
	}
	if err := p.in.Skip(n); err != nil {
		return p.off, err
	}
	p.off += n
	return p.off, nil
}

// content returns a reader of a file's content. If the input ends early, the reader returns io.ErrUnexpectedEOF.
func content(in *input.Input, n node) io.Reader {
	return &contentReader{io.NewSectionReader(in, n.offset, n.size), n.size}
}

type contentReader struct {
	r    io.Reader
	left int64
}

func (c *contentReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); err == io.EOF && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
