package sqlite

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

const testPage = 512

// tall makes a database of small pages with a table of three levels. Its root is page 2.
func tall(t testing.TB) []byte {
	db := create(t, "page_size = 512")
	db.exec(t, `create table t (n)`)
	db.exec(t, `with recursive n(i) as (values (1) union all select i + 1 from n where i < 5000) insert into t select i from n`)
	file, _ := db.files(t)
	return file
}

// page returns a page of a file. Numbers start at 1.
func page(file []byte, n uint32) []byte { return file[(n-1)*testPage:][:testPage] }

// children returns the child pages of an interior page.
func children(page []byte) (n []uint32) {
	for i := range binary.BigEndian.Uint16(page[3:]) {
		n = append(n, binary.BigEndian.Uint32(page[binary.BigEndian.Uint16(page[12+2*i:]):]))
	}
	return append(n, binary.BigEndian.Uint32(page[8:]))
}

// point makes every cell of an interior page lead to one child.
func point(page []byte, child uint32) {
	for i := range binary.BigEndian.Uint16(page[3:]) {
		binary.BigEndian.PutUint32(page[binary.BigEndian.Uint16(page[12+2*i:]):], child)
	}
	binary.BigEndian.PutUint32(page[8:], child)
}

func TestDamaged(t *testing.T) {
	put16 := func(at int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b }
	}
	const root = testPage // offset of page 2
	leafOf := func(b []byte) []byte {
		n := uint32(2)
		for page(b, n)[0] == tableInterior {
			n = children(page(b, n))[0]
		}
		return page(b, n)
	}
	for _, test := range []struct {
		name   string
		change func([]byte) []byte
		err    string
	}{
		{"empty", func(b []byte) []byte { return nil }, "not an SQLite database"},
		{"short", func(b []byte) []byte { return b[:99] }, "not an SQLite database"},
		{"text", func(b []byte) []byte { return []byte(strings.Repeat("text\n", 100)) }, "not an SQLite database"},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, "damaged: the file has 92 of 93 pages"},
		{"pages of 513 bytes", put16(16, 513), "damaged: pages of 513 bytes"},
		{"pages of 256 bytes", put16(16, 256), "damaged: pages of 256 bytes"},
		{"no pages", put16(16, 0), "damaged: pages of 0 bytes"},
		{"pages with little room", func(b []byte) []byte { b[20] = 33; return b }, "damaged: its header is invalid"},
		{"newer version", func(b []byte) []byte { b[19] = 3; return b }, "version 3 of the file format is not supported, only 1 and 2 are"},
		{"UTF-16", func(b []byte) []byte { b[59] = 2; return b }, "its text is not in UTF-8"},
		{"kind", func(b []byte) []byte { b[root] = 0x0a; return b }, "damaged: page 2 has kind 0x0a, which no table has"},
		{"cells", put16(root+3, 1000), "damaged: page 2 has 1000 cells"},
		{"cell outside", put16(root+12, testPage-3), "damaged: a cell of page 2 is outside of it"},
		{"page outside", func(b []byte) []byte { binary.BigEndian.PutUint32(page(b, 2)[8:], 1000); return b }, "damaged: page 1000 of 93"},
		{"page 0", func(b []byte) []byte { binary.BigEndian.PutUint32(page(b, 2)[8:], 0); return b }, "damaged: page 0 of 93"},
		{"its own child", func(b []byte) []byte { point(page(b, 2), 2); return b }, "damaged: its tree has more than 20 levels"},
		{"a shared page", func(b []byte) []byte { point(page(b, 2), children(page(b, 2))[0]); return b }, "damaged: row 1 follows row"},
		{"an empty page", func(b []byte) []byte {
			leafOf(b)[3], leafOf(b)[4] = 0, 0
			return b
		}, " has 0 cells"},
		{"chain of pages", func(b []byte) []byte {
			// All children of each page are the next page, so rows would repeat without end. Scan notices that their ids do not ascend.
			first := children(page(b, 2))[0]
			kids := children(page(b, first))
			for i := range 8 {
				copy(page(b, kids[i]), page(b, first))
				point(page(b, kids[i]), kids[i+1])
			}
			point(page(b, first), kids[0])
			return b
		}, "damaged: row "},
		{"row cut off", func(b []byte) []byte {
			copy(leafOf(b)[testPage-4:], "\x83\xff\xff\x01")
			put(leafOf(b), testPage-4)
			return b
		}, "damaged: a row of page"},
		{"row of a terabyte", func(b []byte) []byte {
			copy(leafOf(b)[testPage-12:], "\xbf\xff\xff\xff\xff\x7f\x01\x00\x00\x00\x00\x00")
			put(leafOf(b), testPage-12)
			return b
		}, "; at most 1048576 are supported"},
		{"chain outside", func(b []byte) []byte {
			copy(leafOf(b)[testPage-60:], "\x87\x7f\x01")
			put(leafOf(b), testPage-60)
			return b
		}, "damaged: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := rows(t.Context(), test.change(tall(t)), nil, "t", "")
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("rows = %v; want %s", err, test.err)
			}
		})
	}
}

// put moves the first cell of a leaf.
func put(leaf []byte, at uint16) { binary.BigEndian.PutUint16(leaf[8:], at) }

// TestOverlapping checks that overlapping cells cannot yield more bytes than the file has.
func TestOverlapping(t *testing.T) {
	db := create(t, "page_size = 65536")
	db.exec(t, `create table t (n); insert into t values (zeroblob(60000))`)
	file, _ := db.files(t)
	p := file[65536:]
	// Fill the page with cell pointers. Each cell has the next id, and the 30 000 bytes after it as its row.
	const cells, size = 3000, "\x81\xea\x30" // 30 000
	for i := range cells {
		at := 30000 + 5*i
		binary.BigEndian.PutUint16(p[8+2*i:], uint16(at))
		copy(p[at:], size)
		p[at+3], p[at+4] = 0x80|byte((i+1)>>7), byte(i+1)&0x7f
	}
	binary.BigEndian.PutUint16(p[3:], cells)
	f, err := open(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := f.Table(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = tab.Scan(t.Context(), func(*Row) error { n++; return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "damaged: ") || n > 10 {
		t.Errorf("Scan = %v after %d rows; want an error after a few", err, n)
	}
}

// TestEveryByte checks that a change of any byte, or of some in a short run, leads to an error or to a sane number of rows.
func TestEveryByte(t *testing.T) {
	db := create(t, "page_size = 512", "journal_mode = wal", "wal_autocheckpoint = 0")
	db.exec(t, `create table t (n, text); insert into t values (1, 'one'), (2, printf('%.*c', 900, 'z'))`)
	db.exec(t, `pragma wal_checkpoint(truncate)`)
	db.exec(t, `insert into t values (3, printf('%.*c', 600, 'y'))`)
	file, log := db.files(t)
	for _, b := range [][]byte{file, log} {
		for i := 0; i < len(b); i += testrun.Of(13, 1) {
			for _, x := range []byte{0x01, 0x80, 0xff} {
				b[i] ^= x
				got, err := rows(t.Context(), file, log, "t", "")
				if err == nil && len(got) > 50 {
					t.Errorf("byte %d: %d rows", i, len(got))
				}
				b[i] ^= x
			}
		}
	}
}

// FuzzScan checks that Scan finds the same rows as SQLite in every file that passes SQLite's integrity check.
func FuzzScan(f *testing.F) {
	f.Add(tall(f)[:8<<10], []byte{})
	for _, mode := range []string{"delete", "wal"} {
		db := create(f, "page_size = 512", "journal_mode = "+mode, "wal_autocheckpoint = 0")
		db.exec(f, `create table t (n integer primary key, text); insert into t values (1, 'one'), (2, printf('%.*c', 900, 'z')), (-5, x'00')`)
		if mode == "wal" {
			db.exec(f, `pragma wal_checkpoint(truncate)`)
			db.exec(f, `insert into t values (3, printf('%.*c', 600, 'y'))`)
		}
		file, log := db.files(f)
		f.Add(file, log)
	}
	f.Fuzz(func(t *testing.T, file, log []byte) {
		if len(log) == 0 {
			log = nil
		}
		got, err := rows(t.Context(), file, log, "t", "n")
		name := filepath.Join(t.TempDir(), "db")
		if err := errors.Join(os.WriteFile(name, file, 0o600), os.WriteFile(name+"-wal", log, 0o600)); err != nil {
			t.Fatal(err)
		}
		conn, openErr := sqlite.OpenConn(name, sqlite.OpenReadWrite)
		if openErr != nil {
			return
		}
		defer conn.Close()
		conn.SetInterrupt(t.Context().Done())
		sound := false
		check := &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
			sound = row.ColumnText(0) == "ok"
			return nil
		}}
		if sqlitex.ExecuteTransient(conn, `pragma integrity_check(1)`, check) != nil || !sound {
			return
		}
		want, wantErr := theirs{conn, name}.rows("t")
		if wantErr != nil || err != nil && !strings.HasPrefix(err.Error(), "damaged") {
			return // this package refuses some features of SQLite
		}
		if err != nil {
			t.Fatalf("rows: %v; SQLite finds %d", err, len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-SQLite's +ours):\n%s", diff)
		}
	})
}
