package startup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/export-profile/export-profile/rootfs"
)

// scanSize is how much of a file is read at a time. Most files are smaller: they are read by one system call.
// Two such pieces fit into the cache of a core.
const scanSize = 256 << 10

var scanBuffers = sync.Pool{New: func() any { return new([scanSize]byte) }}

// scanFile scans one file. It reads it at most once, apart from a few pieces of large programs.
func (s *Source) scanFile(c *contents, store rootfs.StoreDir, e rootfs.Entry, name string, wanted, first bool, keep []span, again map[string][]span) (err error) {
	if e.Size == 0 && !s.Unproven {
		if wanted {
			c.Files[name] = &startable{}
		}
		return nil
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var names *nameFinder
	if first && c.Names != nil {
		names = c.nameFinder(store, e)
	}
	all := s.Unproven || names != nil
	f, _ := r.(*os.File)
	if f != nil && !s.Unproven || all && e.Size < scanSize {
		buf := scanBuffers.Get().(*[scanSize]byte)
		defer scanBuffers.Put(buf)
		file, err := scanBlocks(r, buf[:], e.Size, wanted, names)
		if wanted {
			c.Files[name] = file
		}
		return err
	}
	return s.scanStream(c, r, e.Size, name, wanted, names, keep, again)
}

// scanBlocks scans a file that is on disk, or that is smaller than buf. It classifies a wanted file,
// and finds all names of store objects if names is not nil.
func scanBlocks(r io.Reader, buf []byte, size int64, wanted bool, names *nameFinder) (file *startable, err error) {
	f, onDisk := r.(*os.File)
	if onDisk && names == nil {
		buf = buf[:blockSize] // nearly all that classify needs
	}
	if onDisk && size < int64(len(buf)) {
		buf = buf[:size] // another read would only tell that the file ends
	}
	n, ended, err := fill(r, buf)
	if err != nil {
		return nil, err
	}
	if ended = ended || onDisk && int64(n) == size; !ended && !onDisk {
		return nil, fmt.Errorf("has more than %d bytes", size)
	}
	if wanted {
		var at io.ReaderAt = bytes.NewReader(buf[:n])
		if !ended {
			at = &blockReader{file: f, head: buf[:n]}
		}
		if file, err = classify(at, size); err != nil {
			return nil, err
		}
	}
	if names == nil {
		return file, nil
	}
	for done := int64(n); ; {
		rest := names.find(buf[:n], ended)
		if ended {
			return file, nil
		}
		kept := copy(buf, rest)
		m, err := r.Read(buf[kept:min(int64(len(buf)), int64(kept)+size-done)])
		if err != nil && err != io.EOF {
			return nil, err
		}
		done += int64(m)
		n, ended = kept+m, err == io.EOF || done == size
	}
}

// fill reads until buf is full or the reader ends. Unlike [io.ReadFull], it keeps these apart from a reader that fails.
func fill(r io.Reader, buf []byte) (n int, ended bool, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	if err == io.EOF {
		return n, true, nil
	}
	return n, false, err
}

// scanStream scans a large file that can only be read forward, or whose hash its reader checks.
func (s *Source) scanStream(c *contents, r io.Reader, size int64, name string, wanted bool, names *nameFinder, keep []span, again map[string][]span) error {
	in := r
	if names != nil {
		in = io.TeeReader(r, names)
	}
	if wanted {
		var err error
		c.Files[name], err = classify(&forwardReader{r: in, keep: keep}, size)
		var backward *backwardError
		if errors.As(err, &backward) {
			again[name] = append(emptySpans(keep), span{offset: backward.offset, size: backward.size + keepMargin})
		} else if err != nil {
			return err
		}
	}
	if !s.Unproven && names == nil {
		return nil
	}
	if err := rootfs.Drain(in); err != nil {
		return err
	}
	if names != nil {
		names.end()
	}
	return nil
}

// blockSize is how much a blockReader reads at a time. Many names of a program lie close together.
const blockSize = 16 << 10

// blockReader reads a file in blocks, after its beginning.
type blockReader struct {
	file  *os.File
	head  []byte
	at    int64 // of block
	block []byte
}

// ReadAt implements io.ReaderAt.
func (b *blockReader) ReadAt(p []byte, offset int64) (int, error) {
	if end := offset + int64(len(p)); end <= int64(len(b.head)) {
		return copy(p, b.head[offset:]), nil
	}
	if len(p) > blockSize/2 {
		return b.file.ReadAt(p, offset)
	}
	if offset < b.at || offset+int64(len(p)) > b.at+int64(len(b.block)) {
		if b.block == nil {
			b.block = make([]byte, 0, blockSize)
		}
		n, err := b.file.ReadAt(b.block[:blockSize], offset)
		b.at, b.block = offset, b.block[:n]
		if err != nil && (err != io.EOF || n == 0) {
			return 0, err
		}
	}
	n := copy(p, b.block[offset-b.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
