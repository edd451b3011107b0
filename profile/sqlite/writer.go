package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// writtenPageSize is the page size of written files.
	writtenPageSize = 4096

	// maxWrittenRow is the size of the largest index key that fits in a page.
	// A row of a table may be larger, but one limit for both is enough.
	maxWrittenRow = (writtenPageSize-12)*64/255 - 23

	// maxWrittenPages keeps the file below 1 GiB: SQLite locks the byte there, and the page around it must stay unused.
	maxWrittenPages = 1 << 30 / writtenPageSize
)

// Writer makes a database in memory. The same calls make the same bytes.
//
// It writes each tree from the left to the right and from the leaves to the root, and fills pages as far as it can.
// Rows and keys that would need overflow pages are an error.
type Writer struct {
	pages []byte
	err   error // the first
}

// NewWriter returns a writer of a database without tables.
func NewWriter() *Writer {
	return &Writer{pages: make([]byte, writtenPageSize)} // Finish fills page 1
}

// child describes a finished page to the page above it.
type child struct {
	page uint32
	// key is the content of the cell that leads to the page, without the page's number.
	// In a table it is the largest id of the page; in an index, a key between this page and the next one,
	// stored in neither. The last child needs none.
	key []byte
}

// Table writes n rows, each a [Record], with the ids 1 to n. It returns the number of the table's root page.
func (w *Writer) Table(n int, row func(i int) []byte) int64 {
	var children []child
	var cells [][]byte
	left := room(0, tableLeaf)
	flush := func(last int) {
		children = append(children, child{w.addPage(tableLeaf, cells, 0), appendVarint(nil, uint64(last))})
		cells, left = nil, room(0, tableLeaf)
	}
	for i := range n {
		c := w.tableCell(i+1, row(i))
		if left < len(c)+2 {
			flush(i)
		}
		cells = append(cells, c)
		left -= len(c) + 2
	}
	flush(n)
	return w.addParents(children, tableInterior)
}

// Index writes n keys, each a [Record] that ends with a row's id. The keys must be sorted.
// It returns the number of the index's root page.
func (w *Writer) Index(n int, key func(i int) []byte) int64 {
	var children []child
	for i := 0; ; {
		var cells [][]byte
		left := room(0, indexLeaf)
		for i < n {
			c := w.indexCell(key(i))
			if left < len(c)+2 {
				break
			}
			cells = append(cells, c)
			left -= len(c) + 2
			i++
		}
		// The first key that does not fit goes to the page above, so another key must be left for the next leaf.
		if i == n-1 {
			i--
			cells = cells[:len(cells)-1]
		}
		c := child{page: w.addPage(indexLeaf, cells, 0)}
		if i < n {
			c.key = w.indexCell(key(i))
			i++
		}
		children = append(children, c)
		if c.key == nil {
			return w.addParents(children, indexInterior)
		}
	}
}

// addParents writes the pages above children, level by level, up to the root.
func (w *Writer) addParents(children []child, kind byte) int64 {
	for len(children) > 1 {
		var parents []child
		for len(children) > 0 {
			// The last child of a page is in its header, the others are in cells.
			n, left := 0, room(0, kind)
			for n < len(children)-1 && left >= 4+len(children[n].key)+2 {
				left -= 4 + len(children[n].key) + 2
				n++
			}
			if n == len(children)-2 {
				n-- // a page needs at least two children
			}
			cells := make([][]byte, n)
			for i, c := range children[:n] {
				cells[i] = append(binary.BigEndian.AppendUint32(nil, c.page), c.key...)
			}
			last := children[n]
			parents = append(parents, child{w.addPage(kind, cells, last.page), last.key})
			children = children[n+1:]
		}
		children = parents
	}
	return int64(children[0].page)
}

func (w *Writer) tableCell(id int, row []byte) []byte {
	w.checkSize(row)
	cell := appendVarint(nil, uint64(len(row)))
	return append(appendVarint(cell, uint64(id)), row...)
}

func (w *Writer) indexCell(key []byte) []byte {
	w.checkSize(key)
	return append(appendVarint(nil, uint64(len(key))), key...)
}

func (w *Writer) checkSize(record []byte) {
	if len(record) > maxWrittenRow && w.err == nil {
		w.err = fmt.Errorf("a row has %d bytes; at most %d are possible", len(record), maxWrittenRow)
	}
}

// room returns how many bytes a page has for cells and their offsets, if its header starts at from.
func room(from int, kind byte) int { return writtenPageSize - from - pageHeaderSize(kind) }

// addPage appends a page and returns its number.
func (w *Writer) addPage(kind byte, cells [][]byte, rightChild uint32) uint32 {
	at := len(w.pages)
	w.pages = append(w.pages, make([]byte, writtenPageSize)...)
	fillPage(w.pages[at:], 0, kind, cells, rightChild)
	return uint32(at/writtenPageSize) + 1
}

// fillPage writes cells from the page's end downwards, and their offsets after the page's header, which starts at from.
func fillPage(page []byte, from int, kind byte, cells [][]byte, rightChild uint32) {
	header := page[from:]
	end := writtenPageSize
	for i, c := range cells {
		end -= len(c)
		copy(page[end:], c)
		putUint16(header, pageHeaderSize(kind)+2*i, end)
	}
	header[atKind] = kind
	putUint16(header, atCells, len(cells))
	putUint16(header, atContent, end)
	if kind == tableInterior || kind == indexInterior {
		putUint32(header, atRightChild, rightChild)
	}
}

// Definition is a row of the schema table: a table, an index or a trigger.
type Definition struct {
	Type  string // "table", "index" or "trigger"
	Name  string
	Table string // the table that it belongs to
	Root  int64  // its root page, or 0 for a trigger
	SQL   string // the statement that creates it, empty if SQLite makes it by itself
}

// Finish writes the schema table into page 1, and returns the file.
func (w *Writer) Finish(schema []Definition) ([]byte, error) {
	left := room(headerSize, tableLeaf)
	var cells [][]byte
	for i, d := range schema {
		var sql any
		if d.SQL != "" {
			sql = d.SQL
		}
		c := w.tableCell(i+1, Record(d.Type, d.Name, d.Table, d.Root, sql))
		left -= len(c) + 2
		cells = append(cells, c)
	}
	switch {
	case w.err != nil:
		return nil, w.err
	case left < 0:
		return nil, fmt.Errorf("the schema is %d bytes too long for one page", -left)
	case len(w.pages) > maxWrittenPages*writtenPageSize:
		return nil, errors.New("the database is larger than 1 GiB")
	}
	first := w.pages[:writtenPageSize]
	fillPage(first, headerSize, tableLeaf, cells, 0)
	fillHeader(first, len(w.pages)/writtenPageSize)
	return w.pages, nil
}

// fillHeader writes the file's header. Fields that it does not name are zero.
func fillHeader(b []byte, pages int) {
	copy(b, magic)
	putUint16(b, atPageSize, writtenPageSize)
	b[atWriteVersion], b[atReadVersion] = 1, 1
	copy(b[atFractions:], fractions)
	putUint32(b, atChanges, 1)
	putUint32(b, atPages, uint32(pages))
	putUint32(b, atSchemaChanges, 1)
	putUint32(b, atSchemaFormat, 4)
	putUint32(b, atEncoding, utf8)
	putUint32(b, atValidFor, 1)
	putUint32(b, atVersion, 3040001) // for information only
}
