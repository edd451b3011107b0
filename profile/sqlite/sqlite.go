// Package sqlite reads and writes SQLite database files without SQLite.
//
// It implements the part of https://www.sqlite.org/fileformat2.html that Nix's store database needs:
//
//   - A file consists of pages of one size, numbered from 1. Page 1 starts with a header of 100 bytes;
//     the schema table, which lists all tables, follows it.
//   - A table is a tree of pages. Its leaves hold the rows in ascending order of row id.
//     A row that does not fit into a page continues in a chain of overflow pages.
//   - A log (WAL) holds pages newer than those of the file, grouped in transactions.
//     Each checksum covers all pages before it, so they show where the last complete transaction ends. The rest is ignored.
//
// [Open] and [Table.Scan] read whole tables and ignore indices. They write, lock and create nothing:
// the caller must make sure that nothing writes the files meanwhile, or discard what it read. Text must be UTF-8.
//
// A damaged or hostile file leads to an error that starts with "damaged". A scan reads no more pages than the file has,
// and no more bytes of rows than those pages can hold. A row has at most [MaxRow] bytes, and a tree at most 20 levels.
// Lengths that the file declares cause no allocation.
//
// [Writer] makes a new database with tables and indices. No release of a library can change its bytes.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrNotDatabase is the error of [Open] for another kind of file.
var ErrNotDatabase = errors.New("not an SQLite database")

// MaxRow limits the bytes of a row that is read.
const MaxRow = 1 << 20

const maxPages = 1<<32 - 2

// File is a database that is open for reading. Several goroutines may use it at once.
type File struct {
	db       io.ReaderAt
	log      *log // nil if it holds no transaction
	pageSize int
	usable   int    // bytes of each page, from its start
	pages    uint32 // how many the database has
}

// Open opens a database of the given size and its log, which may be nil.
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
	f.pageSize = getUint16(h, atPageSize)
	if f.pageSize == 1 {
		f.pageSize = 1 << 16
	}
	if !validPageSize(f.pageSize) {
		return nil, damaged("pages of %d bytes", f.pageSize)
	}
	if err := f.openLog(ctx, log); err != nil {
		return nil, err
	}
	present := min(size/int64(f.pageSize), maxPages)
	if f.log != nil {
		present += int64(len(f.log.frames))
	} else {
		f.pages = getUint32(h, atPages)
		if f.pages == 0 || getUint32(h, atChanges) != getUint32(h, atValidFor) {
			f.pages = uint32(present) // SQLite before 3.7 does not maintain the count
		}
	}
	if int64(f.pages) > present {
		return nil, damaged("the file has %d of %d pages", present, f.pages)
	}
	f.usable = f.pageSize // until the header is read
	first, err := f.page(1, nil)
	if err != nil {
		return nil, err
	}
	return f, f.checkHeader(first)
}

// checkHeader checks the header in page 1, whose newest version may be in the log.
func (f *File) checkHeader(h []byte) error {
	f.usable = f.pageSize - int(h[atReserved])
	switch {
	case string(h[:len(magic)]) != magic, f.usable < 480, string(h[atFractions:][:len(fractions)]) != fractions:
		return damaged("its header is invalid")
	case h[atReadVersion] != 1 && h[atReadVersion] != 2:
		return fmt.Errorf("version %d of the file format is not supported, only 1 and 2 are", h[atReadVersion])
	case getUint32(h, atEncoding) != utf8:
		return errors.New("its text is not in UTF-8")
	}
	return nil
}

func validPageSize(n int) bool { return n >= 512 && n <= 1<<16 && n&(n-1) == 0 }

// page reads a page into buf, or into new memory if buf is too small.
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
			err = damaged("page %d is cut off", n)
		}
		return nil, err
	}
	return buf[:f.usable], nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("damaged: "+format, args...)
}
