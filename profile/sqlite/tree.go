package sqlite

import (
	"context"
	"encoding/binary"
)

// Kinds of pages of a table. An index has others.
const (
	interior = 0x05
	leaf     = 0x0d
)

// maxDepth is how high SQLite lets a tree become.
const maxDepth = 20

// scan is a walk through the tree of one table.
type scan struct {
	ctx   context.Context
	file  *File
	left  int64            // pages that may still be read
	bytes int64            // of rows, likewise: cells may lie over each other
	bufs  [maxDepth][]byte // one a level
	chain []byte           // a page of a row that continues
	whole []byte           // such a row
	last  int64            // the row id before
	any   bool             // that there was one
	row   Row
	do    func(*Row) error
}

// scan calls do with the rows of a table by ascending row id, until that fails. A row lasts until do returns.
func (f *File) scan(ctx context.Context, root uint32, do func(*Row) error) error {
	s := &scan{ctx: ctx, file: f, left: int64(f.pages), bytes: int64(f.pages) * int64(f.usable), do: do}
	return s.tree(root, 0)
}

func (s *scan) page(n uint32, buf []byte) ([]byte, error) {
	if s.left--; s.left < 0 {
		return nil, damaged("a page is in it twice")
	}
	if err := s.ctx.Err(); err != nil {
		return nil, context.Cause(s.ctx)
	}
	return s.file.page(n, buf)
}

func (s *scan) tree(n uint32, depth int) error {
	if depth == maxDepth {
		return damaged("more than %d pages are above each other", maxDepth)
	}
	p, err := s.page(n, s.bufs[depth])
	if err != nil {
		return err
	}
	s.bufs[depth] = p
	head := p
	if n == 1 {
		head = p[headerSize:]
	}
	kind, cells := head[0], int(binary.BigEndian.Uint16(head[3:]))
	size := 8 // of the page's own header
	switch kind {
	case leaf:
	case interior:
		size = 12
	default:
		return damaged("page %d is of kind %#02x, and none of a table", n, kind)
	}
	// A page without cells could be in a tree any number of times. SQLite leaves none, but for an empty table.
	if len(head) < size+2*cells || cells == 0 && kind == leaf && depth > 0 {
		return damaged("page %d has %d cells", n, cells)
	}
	cell := func(i int) int { return int(binary.BigEndian.Uint16(head[size+2*i:])) }
	for i := range cells {
		at := cell(i)
		if at+4 > len(p) {
			return damaged("a cell of page %d is outside of it", n)
		}
		if kind == leaf {
			err = s.leaf(n, p[at:])
		} else {
			err = s.tree(binary.BigEndian.Uint32(p[at:]), depth+1)
		}
		if err != nil {
			return err
		}
	}
	if kind == leaf {
		return nil
	}
	return s.tree(binary.BigEndian.Uint32(head[8:]), depth+1)
}

// leaf reads a row: the size of what it has, its id, and as much of it as a page has room for.
func (s *scan) leaf(page uint32, cell []byte) error {
	size, n := varint(cell)
	id, m := varint(cell[n:])
	if n == 0 || m == 0 {
		return damaged("a row of page %d is cut", page)
	}
	if size > MaxRow {
		return damaged("a row of page %d has %d bytes; there may be %d", page, size, MaxRow)
	}
	if s.any && int64(id) <= s.last {
		return damaged("row %d follows row %d", int64(id), s.last)
	}
	s.any, s.last = true, int64(id)
	const pointer = 2
	if s.bytes -= pointer + int64(n+m) + int64(size); s.bytes < 0 {
		return damaged("its rows have more bytes than its pages")
	}
	body, here := cell[n+m:], s.local(int(size))
	if len(body) < here || here < int(size) && len(body) < here+4 {
		return damaged("row %d is cut", s.last)
	}
	if here == int(size) {
		body = body[:here]
	} else {
		var err error
		if body, err = s.continued(body[:here], binary.BigEndian.Uint32(body[here:]), int(size)); err != nil {
			return err
		}
	}
	if !s.row.parse(s.last, body) {
		return damaged("row %d is not one", s.last)
	}
	return s.do(&s.row)
}

// local is how much of a row is in the page of its tree.
func (s *scan) local(size int) int {
	u := s.file.usable
	if size <= u-35 {
		return size
	}
	least := (u-12)*32/255 - 23
	if k := least + (size-least)%(u-4); k <= u-35 {
		return k
	}
	return least
}

// continued is a row of which the rest is in a chain of pages, each with the number of the next.
func (s *scan) continued(here []byte, next uint32, size int) ([]byte, error) {
	s.whole = append(s.whole[:0], here...)
	for len(s.whole) < size {
		p, err := s.page(next, s.chain)
		if err != nil {
			return nil, err
		}
		s.chain, next = p, binary.BigEndian.Uint32(p)
		s.whole = append(s.whole, p[4:min(len(p), 4+size-len(s.whole))]...)
	}
	return s.whole, nil
}

// varint reads a number of one to nine bytes, and says how many: none if it is cut.
// Of the first eight, seven bits count and the eighth says that it goes on; of the ninth all do.
func varint(b []byte) (v uint64, n int) {
	for n < len(b) {
		c := b[n]
		n++
		if n == 9 {
			return v<<8 | uint64(c), n
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, n
		}
	}
	return 0, 0
}
