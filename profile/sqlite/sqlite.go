// Package sqlite reads whole tables of an SQLite database that holds still, and the log beside it.
//
// It is as much of https://www.sqlite.org/fileformat2.html as that takes:
//
//   - A file is pages of one size, numbered from 1. The first has a header of 100 bytes, and after it the table of tables.
//   - A table is a tree of pages, whose leaves have rows by ascending row id.
//     What does not fit into a page continues in a chain of others.
//   - A log (WAL) is pages that are newer than those of the file, in transactions. What comes after the last whole one,
//     by checksums that run on from page to page, is not there.
//
// Nothing is written, locked or created: that nobody writes meanwhile, or that what was read is thrown away then,
// is the caller's part. Indices are not read. Text is UTF-8, as Nix has it.
//
// A damaged or hostile file ends with an error that begins with "damaged": a scan reads no more pages than there are
// and no more bytes of rows than they have, no row is larger than [MaxRow], trees are at most 20 pages high,
// and nothing is allocated for what a file only says that it has.
package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrNotDatabase is the error of Open for what is something else.
var ErrNotDatabase = errors.New("not an SQLite database")

// MaxRow is how many bytes a row may have.
const MaxRow = 1 << 20

// File is a database. One goroutine at a time reads it.
type File struct {
	db       io.ReaderAt
	log      *log // nil if nothing is in it
	pageSize int
	usable   int    // of each page, from its beginning
	pages    uint32 // how many there are
}

const (
	magic      = "SQLite format 3\x00"
	headerSize = 100
	maxPages   = 1<<32 - 2
)

// Open opens a database of a size, and its log, which may be nil.
func Open(ctx context.Context, db io.ReaderAt, size int64, log io.ReaderAt) (*File, error) {
	f := &File{db: db}
	h := make([]byte, headerSize)
	if n, err := db.ReadAt(h, 0); n < len(h) {
		if err == io.EOF {
			err = ErrNotDatabase
		}
		return nil, err
	}
	if string(h[:len(magic)]) != magic {
		return nil, ErrNotDatabase
	}
	f.pageSize = int(binary.BigEndian.Uint16(h[16:]))
	if f.pageSize == 1 {
		f.pageSize = 1 << 16
	}
	if !validPageSize(f.pageSize) {
		return nil, damaged("pages of %d bytes", f.pageSize)
	}
	if err := f.openLog(ctx, log); err != nil {
		return nil, err
	}
	there := min(size/int64(f.pageSize), maxPages)
	if f.log != nil {
		there += int64(len(f.log.frames))
	} else {
		f.pages = binary.BigEndian.Uint32(h[28:])
		if f.pages == 0 || binary.BigEndian.Uint32(h[24:]) != binary.BigEndian.Uint32(h[92:]) {
			f.pages = uint32(there) // a version of SQLite before 3.7 wrote it last
		}
	}
	if int64(f.pages) > there {
		return nil, damaged("%d of %d pages are there", there, f.pages)
	}
	f.usable = f.pageSize // of the first page, so that it can be read
	first, err := f.page(1, nil)
	if err != nil {
		return nil, err
	}
	return f, f.header(first)
}

// header checks what the first page says, which may be in the log.
func (f *File) header(h []byte) error {
	f.usable = f.pageSize - int(h[20])
	switch {
	case string(h[:len(magic)]) != magic, f.usable < 480, h[21] != 64, h[22] != 32, h[23] != 32:
		return damaged("its header is not one")
	case h[19] != 1 && h[19] != 2:
		return fmt.Errorf("version %d of the file format is not supported, only 1 and 2 are", h[19])
	case binary.BigEndian.Uint32(h[56:]) != 1:
		return errors.New("its text is not in UTF-8")
	}
	return nil
}

func validPageSize(n int) bool { return n >= 512 && n <= 1<<16 && n&(n-1) == 0 }

// page reads a page into buf, if that is large enough.
func (f *File) page(n uint32, buf []byte) ([]byte, error) {
	if n == 0 || n > f.pages {
		return nil, damaged("page %d of %d", n, f.pages)
	}
	if cap(buf) < f.pageSize {
		buf = make([]byte, f.pageSize)
	}
	buf = buf[:f.pageSize]
	from, at := f.db, int64(n-1)*int64(f.pageSize)
	if f.log != nil {
		if frame, ok := f.log.frames[n]; ok {
			from, at = f.log.r, f.log.offset(frame)
		}
	}
	if read, err := from.ReadAt(buf, at); read < len(buf) {
		if err == io.EOF {
			err = damaged("page %d is cut", n)
		}
		return nil, err
	}
	return buf[:f.usable], nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("damaged: "+format, args...)
}
