package nixdb

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The file is pages of one size, numbered from 1 (https://www.sqlite.org/fileformat2.html).
// The first has the file's header, and the table of all tables.
const (
	pageSize   = 4096
	headerSize = 100

	// mostInCell is how much of a key lies in a page; longer ones would continue on another.
	// It is an index's, and a table's is larger.
	mostInCell = (pageSize-12)*64/255 - 23

	// mostPages are those before the byte that SQLite locks, whose page would have to be left out.
	mostPages = 1 << 30 / pageSize
)

// Kinds of pages.
const (
	indexInterior = 0x02
	tableInterior = 0x05
	indexLeaf     = 0x0a
	tableLeaf     = 0x0d
)

// pageWriter writes trees of pages, each from the left to the right and from the leaves to the root,
// with pages as full as they can be.
type pageWriter struct {
	pages []byte
	err   error // the first
}

func newPageWriter() *pageWriter {
	return &pageWriter{pages: make([]byte, pageSize)} // the first is written last
}

// child is a page that was written, for the page above it.
type child struct {
	page uint32
	// key is that of the cell which leads to the page, without the page's number:
	// in a table, the largest in it, in an index one between it and the next page, which is in neither.
	// The last child of all needs none.
	key []byte
}

// table writes n rows, with the ids from 1 on, and returns the number of its root page.
func (w *pageWriter) table(n int, row func(i int) []byte) int64 {
	var children []child
	var cells [][]byte
	left := room(0, tableLeaf)
	flush := func(last int) {
		children = append(children, child{w.add(tableLeaf, cells, 0), appendVarint(nil, uint64(last))})
		cells, left = nil, room(0, tableLeaf)
	}
	for i := range n {
		payload := row(i)
		cell := appendVarint(nil, uint64(len(payload)))
		cell = appendVarint(cell, uint64(i)+1)
		cell = w.check(append(cell, payload...), len(payload))
		if left < len(cell)+2 {
			flush(i)
		}
		cells = append(cells, cell)
		left -= len(cell) + 2
	}
	flush(n)
	return w.above(children, tableInterior)
}

// index writes n keys that are sorted, and returns the number of its root page.
func (w *pageWriter) index(n int, key func(i int) []byte) int64 {
	var children []child
	cell := func(i int) []byte {
		payload := key(i)
		return w.check(append(appendVarint(nil, uint64(len(payload))), payload...), len(payload))
	}
	for i := 0; ; {
		var cells [][]byte
		left := room(0, indexLeaf)
		for i < n {
			c := cell(i)
			if left < len(c)+2 {
				break
			}
			cells = append(cells, c)
			left -= len(c) + 2
			i++
		}
		// What does not fit goes up, and there must be something to the right of it.
		if i == n-1 {
			i--
			cells = cells[:len(cells)-1]
		}
		c := child{page: w.add(indexLeaf, cells, 0)}
		if i < n {
			c.key = cell(i)
			i++
		}
		children = append(children, c)
		if c.key == nil {
			return w.above(children, indexInterior)
		}
	}
}

// above writes the pages above children until there is one.
func (w *pageWriter) above(children []child, kind byte) int64 {
	for len(children) > 1 {
		var parents []child
		for len(children) > 0 {
			// Of the children of a page all but the last are in cells.
			n, left := 0, room(0, kind)
			for n < len(children)-1 && left >= 4+len(children[n].key)+2 {
				left -= 4 + len(children[n].key) + 2
				n++
			}
			if n == len(children)-2 {
				n-- // a page has two children at least
			}
			cells := make([][]byte, n)
			for i, c := range children[:n] {
				cells[i] = append(binary.BigEndian.AppendUint32(nil, c.page), c.key...)
			}
			last := children[n]
			parents = append(parents, child{w.add(kind, cells, last.page), last.key})
			children = children[n+1:]
		}
		children = parents
	}
	return int64(children[0].page)
}

// check refuses a cell that would continue on another page.
// No store path is as long as that.
func (w *pageWriter) check(cell []byte, payload int) []byte {
	if payload > mostInCell && w.err == nil {
		w.err = fmt.Errorf("a row of %d bytes, and %d are possible", payload, mostInCell)
	}
	return cell
}

// room is how many bytes a page has for cells and their offsets.
func room(from int, kind byte) int { return pageSize - from - pageHeaderSize(kind) }

func pageHeaderSize(kind byte) int {
	if kind == tableInterior || kind == indexInterior {
		return 12 // with the last child
	}
	return 8
}

// add writes a page at the end, and returns its number.
func (w *pageWriter) add(kind byte, cells [][]byte, last uint32) uint32 {
	at := len(w.pages)
	w.pages = append(w.pages, make([]byte, pageSize)...)
	fillPage(w.pages[at:], 0, kind, cells, last)
	return uint32(at/pageSize) + 1
}

// fillPage writes cells from the page's end downwards, and their offsets behind the page's header.
func fillPage(page []byte, from int, kind byte, cells [][]byte, last uint32) {
	offsets, end := page[from+pageHeaderSize(kind):], pageSize
	for i, c := range cells {
		end -= len(c)
		copy(page[end:], c)
		binary.BigEndian.PutUint16(offsets[2*i:], uint16(end))
	}
	header := page[from:]
	header[0] = kind
	binary.BigEndian.PutUint16(header[3:], uint16(len(cells)))
	binary.BigEndian.PutUint16(header[5:], uint16(end))
	if pageHeaderSize(kind) == 12 {
		binary.BigEndian.PutUint32(header[8:], last)
	}
}

// finish writes the first page, with n rows of the table of all tables, and returns the file.
func (w *pageWriter) finish(n int, row func(i int) []byte) ([]byte, error) {
	left := room(headerSize, tableLeaf)
	var cells [][]byte
	for i := range n {
		payload := row(i)
		cell := appendVarint(appendVarint(nil, uint64(len(payload))), uint64(i)+1)
		cell = w.check(append(cell, payload...), len(payload))
		left -= len(cell) + 2
		cells = append(cells, cell)
	}
	switch {
	case w.err != nil:
		return nil, w.err
	case left < 0:
		return nil, fmt.Errorf("the tables' definitions are %d bytes too long", -left)
	case len(w.pages) > mostPages*pageSize:
		return nil, errors.New("more than 1 GiB: too many objects or references")
	}
	first := w.pages[:pageSize]
	fillPage(first, headerSize, tableLeaf, cells, 0)
	fillHeader(first, len(w.pages)/pageSize)
	return w.pages, nil
}

// fillHeader writes the file's header. What is not here is zero.
func fillHeader(b []byte, pages int) {
	copy(b, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(b[16:], pageSize)
	b[18], b[19] = 1, 1              // a rollback journal
	b[21], b[22], b[23] = 64, 32, 32 // as it must be
	put := func(at int, n uint32) { binary.BigEndian.PutUint32(b[at:], n) }
	put(24, 1)             // how often the file was changed
	put(28, uint32(pages)) // valid if the numbers at 24 and 92 are the same
	put(40, 1)             // how often the tables were changed
	put(44, 4)             // the format of records
	put(56, 1)             // UTF-8
	put(92, 1)
	put(96, 3040001) // the version of SQLite that this is like; information only
}
