package chunked

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

const (
	maxHeader       = 1 << 20       // bytes of an extended header; package archive/tar reads no more
	maxEntryHeaders = 4 * maxHeader // bytes of all headers of an entry
)

type sum [sha256.Size]byte

// tarScanner receives the bytes of a tar, as they come out of the frames of a blob.
// It records what the tables must say about each entry, but no names: tar-split data have the headers.
type tarScanner struct {
	entries list[tarEntry]
	frames  list[contentFrame] // of all entries
	tail    sum                // of what follows the last entry's contents
	tailLen int64
	err     error // why the rest of the tar is not scanned

	headers []byte // those of the next entry that were read, with the padding before them
	padding int    // how many of these bytes are padding
	at      int    // where the last block of headers begins in them
	want    int    // where it ends
	ended   bool   // the tar has its zero blocks
	tailSum hash.Hash

	left    int64 // bytes of contents that follow
	content hash.Hash
	frame   hash.Hash // of the frame, if it is not the first one of the contents
	crc     uint64

	inFrame int64 // bytes of the frame that were received
	begins  bool  // contents begin or continue with the frame
	zeros   bool  // the frame has only zeros
}

// tarEntry holds what the tables must say about an entry.
type tarEntry struct {
	before    int16 // bytes of padding before the headers
	headers   sum   // of the padding and the headers
	content   sum
	crc       uint64
	size      int64
	frames    int  // index of the first one
	unaligned bool // the contents share a frame with something else
}

// contentFrame is a frame with contents.
type contentFrame struct {
	offset, end int64 // in the blob
	size        int64 // once decompressed
	sum         sum
	zeros       bool
}

// list is a list that grows without being copied, so that it needs no more memory than it has items.
type list[T any] struct {
	blocks [][]T
	n      int
}

const listBlock = 1 << 10

func (l *list[T]) add(item T) {
	if l.n%listBlock == 0 {
		l.blocks = append(l.blocks, make([]T, 0, listBlock))
	}
	last := &l.blocks[len(l.blocks)-1]
	*last = append(*last, item)
	l.n++
}

func (l *list[T]) at(i int) *T { return &l.blocks[i/listBlock][i%listBlock] }

func (l *list[T]) last() *T { return l.at(l.n - 1) }

func newTarScanner() *tarScanner {
	return &tarScanner{want: blockSize, content: sha256.New(), frame: sha256.New(), tailSum: sha256.New()}
}

// write receives bytes of the current frame.
func (t *tarScanner) write(p []byte) {
	for len(p) > 0 && t.err == nil {
		if t.left == 0 && t.begins { // the frame of the last contents goes on
			t.entries.last().unaligned, t.begins = true, false
		}
		var n int
		switch {
		case t.left > 0:
			n = t.writeContent(p)
		case t.ended:
			n = len(p)
			if !isZero(p) {
				t.err = errors.New("bytes that are not zero follow its end")
			}
			t.tailSum.Write(p)
			t.tailLen += int64(n)
		default:
			n = t.writeHeaders(p)
		}
		t.inFrame += int64(n)
		p = p[n:]
	}
}

// writeContent receives contents.
func (t *tarScanner) writeContent(p []byte) int {
	p = p[:min(int64(len(p)), t.left)]
	e := t.entries.last()
	if t.inFrame == 0 {
		t.begins, t.zeros = true, true
	} else if !t.begins {
		e.unaligned = true
	}
	t.zeros = t.zeros && isZero(p)
	t.content.Write(p)
	if t.frames.n > e.frames {
		t.frame.Write(p)
	}
	t.crc = crc64Of(t.crc, p)
	if t.left -= int64(len(p)); t.left == 0 {
		e.crc = t.crc
		e.content = sumOf(t.content)
		t.padding = int(-e.size & (blockSize - 1))
		t.at, t.want = t.padding, t.padding+blockSize
	}
	return len(p)
}

var zeros [32 << 10]byte

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if p[0] != 0 || !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

func sumOf(h hash.Hash) (s sum) {
	h.Sum(s[:0])
	return s
}

// endFrame says that the current frame has ended, and where it was in the blob.
func (t *tarScanner) endFrame(offset, end int64) {
	size, begins := t.inFrame, t.begins
	t.inFrame, t.begins = 0, false
	if !begins || t.err != nil {
		return
	}
	e := t.entries.last()
	if e.unaligned {
		return
	}
	if t.frames.n == MaxEntries {
		t.err = fmt.Errorf("the contents have more than %d frames", MaxEntries)
		return
	}
	f := contentFrame{offset: offset, end: end, size: size, zeros: t.zeros}
	if t.frames.n == e.frames {
		f.sum = sumOf(t.content)
	} else {
		f.sum = sumOf(t.frame)
		t.frame.Reset()
	}
	t.frames.add(f)
}

// writeHeaders receives padding and headers.
func (t *tarScanner) writeHeaders(p []byte) int {
	n := min(len(p), t.want-len(t.headers))
	t.headers = append(t.headers, p[:n]...)
	if len(t.headers) == t.want {
		t.err = t.nextBlock()
	}
	return n
}

// nextBlock looks at the last block of the headers, which is complete.
func (t *tarScanner) nextBlock() error {
	block := t.headers[t.at:]
	if t.at-t.padding <= blockSize && isZero(t.headers[t.padding:]) {
		if t.at == t.padding { // the first of two
			t.at, t.want = t.want, t.want+blockSize
			return nil
		}
		t.end()
		return nil
	}
	switch block[typeAt] {
	case tar.TypeXGlobalHeader:
		return errors.New("it has a global header, which a TOC cannot describe")
	case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
		size, err := headerSize(block)
		if err != nil {
			return err
		}
		t.at = t.want + int(size+blockSize-1)&^(blockSize-1)
		if t.want = t.at + blockSize; t.want > maxEntryHeaders {
			return fmt.Errorf("the headers of an entry have more than %d bytes", maxEntryHeaders)
		}
		return nil
	}
	return t.addEntry()
}

const (
	typeAt = 156 // where a header says the type
	sizeAt = 124
)

// headerSize returns the size of an extended header.
func headerSize(block []byte) (int64, error) {
	digits := strings.Trim(string(block[sizeAt:sizeAt+12]), " \x00")
	size, err := strconv.ParseInt(digits, 8, 64)
	if err != nil || size < 0 || size > maxHeader {
		return 0, fmt.Errorf("an extended header has the size %q", digits)
	}
	return size, nil
}

// end says that the tar has ended, except for what follows it.
func (t *tarScanner) end() {
	t.ended = true
	t.tailSum.Write(t.headers)
	t.tailLen += int64(len(t.headers))
	t.headers = nil
}

// finish says that no byte follows, and returns why the tar is unreadable.
func (t *tarScanner) finish() error {
	switch {
	case t.err != nil:
		return t.err
	case t.left > 0:
		return fmt.Errorf("it ends %d bytes before the contents of an entry do", t.left)
	case !t.ended && len(t.headers) > t.padding && !isZero(t.headers[t.padding:]):
		return errors.New("it ends within a header")
	case !t.ended:
		t.end()
	}
	t.tail = sumOf(t.tailSum)
	return nil
}
