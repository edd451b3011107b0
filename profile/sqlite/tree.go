package sqlite

import "context"

// maxDepth is the most levels that SQLite gives a tree.
const maxDepth = 20

// scan walks the tree of one table.
type scan struct {
	ctx       context.Context
	file      *File
	pagesLeft int64 // that it may still read
	bytesLeft int64 // of rows that it may still read: the cells of a page may overlap

	bufs  [maxDepth][]byte // one page for each level
	chain []byte           // an overflow page
	whole []byte           // a row with overflow pages
	last  int64            // id of the previous row
	any   bool             // there was a previous row
	row   Row
	do    func(*Row) error
}

// scan calls do with each row of a table, by ascending row id, until do fails.
func (f *File) scan(ctx context.Context, root uint32, do func(*Row) error) error {
	s := &scan{ctx: ctx, file: f, pagesLeft: int64(f.pages), bytesLeft: int64(f.pages) * int64(f.usable), do: do}
	return s.tree(root, 0)
}

func (s *scan) page(n uint32, buf []byte) ([]byte, error) {
	if s.pagesLeft--; s.pagesLeft < 0 {
		return nil, damaged("a page is used twice")
	}
	if err := s.ctx.Err(); err != nil {
		return nil, context.Cause(s.ctx)
	}
	return s.file.page(n, buf)
}

func (s *scan) tree(n uint32, depth int) error {
	if depth == maxDepth {
		return damaged("its tree has more than %d levels", maxDepth)
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
	kind, cells := head[atKind], getUint16(head, atCells)
	if kind != tableLeaf && kind != tableInterior {
		return damaged("page %d has kind %#02x, which no table has", n, kind)
	}
	size := pageHeaderSize(kind)
	// An empty leaf could repeat without end. SQLite makes one only for an empty table.
	if len(head) < size+2*cells || cells == 0 && kind == tableLeaf && depth > 0 {
		return damaged("page %d has %d cells", n, cells)
	}
	for i := range cells {
		at := getUint16(head, size+2*i)
		if at+4 > len(p) {
			return damaged("a cell of page %d is outside of it", n)
		}
		if kind == tableLeaf {
			err = s.leafCell(n, p[at:])
		} else {
			err = s.tree(getUint32(p, at), depth+1)
		}
		if err != nil {
			return err
		}
	}
	if kind == tableLeaf {
		return nil
	}
	return s.tree(getUint32(head, atRightChild), depth+1)
}

// leafCell reads a row: its size, its id, and as much of it as the page holds.
func (s *scan) leafCell(page uint32, cell []byte) error {
	size, n := varint(cell)
	id, m := varint(cell[n:])
	if n == 0 || m == 0 {
		return damaged("a row of page %d is cut off", page)
	}
	if size > MaxRow {
		return damaged("a row of page %d has %d bytes; at most %d are supported", page, size, MaxRow)
	}
	if s.any && int64(id) <= s.last {
		return damaged("row %d follows row %d", int64(id), s.last)
	}
	s.any, s.last = true, int64(id)
	const pointer = 2
	if s.bytesLeft -= pointer + int64(n+m) + int64(size); s.bytesLeft < 0 {
		return damaged("its rows have more bytes than its pages")
	}
	body, here := cell[n+m:], inPage(int(size), s.file.usable)
	if len(body) < here || here < int(size) && len(body) < here+4 {
		return damaged("row %d is cut off", s.last)
	}
	if here == int(size) {
		body = body[:here]
	} else {
		var err error
		if body, err = s.overflow(body[:here], getUint32(body, here), int(size)); err != nil {
			return err
		}
	}
	if !s.row.parse(s.last, body) {
		return damaged("row %d is not a record", s.last)
	}
	return s.do(&s.row)
}

// overflow reads the rest of a row from a chain of pages. Each page begins with the number of the next.
func (s *scan) overflow(here []byte, next uint32, size int) ([]byte, error) {
	s.whole = append(s.whole[:0], here...)
	for len(s.whole) < size {
		p, err := s.page(next, s.chain)
		if err != nil {
			return nil, err
		}
		s.chain, next = p, getUint32(p, 0)
		s.whole = append(s.whole, p[4:min(len(p), 4+size-len(s.whole))]...)
	}
	return s.whole, nil
}
