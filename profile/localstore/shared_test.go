package localstore

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Types of the pages of an SQLite database, their first byte (sqlite.org/fileformat2.html).
const (
	indexInterior = 2
	indexLeaf     = 10
)

const pageSize = 512

// TestSharedPages: many pages that point at one make many rows of few bytes.
// SQLite reads them all, and memory must not follow.
func TestSharedPages(t *testing.T) {
	root := newRoot(t)
	conn := connect(t, root, "")
	sql(t, conn, `pragma page_size = 512`)
	sql(t, conn, `create table ValidPaths (id integer primary key, path text, hash text, registrationTime integer, narSize integer, deriver text, sigs text, ca text);
		create table Refs (referrer integer, reference integer);
		create index IndexReferrer on Refs(referrer, reference);`+add("a: a"))
	sql(t, conn, `with recursive n(i) as (values(1) union all select i + 1 from n where i < 5999) insert into Refs select 1, 1 from n`)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := read(t, root, 10*time.Second); err != nil || s.names(t) != "a: a" {
		t.Fatalf("read = %v; want one object", err)
	}
	patch(t, root, func(pages [][]byte) {
		var leaf uint32
		var interior []uint32
		for i, page := range pages {
			switch page[0] {
			case indexLeaf:
				leaf = uint32(i + 1)
			case indexInterior:
				interior = append(interior, uint32(i+1))
			}
		}
		// The root is the first one that was made. The others become a chain, each with all its children the next.
		if len(interior) < 4 {
			t.Fatalf("%d interior pages; want 4 or more", len(interior))
		}
		chain := append(interior[:4:4], leaf)
		for i, n := range chain[:4] {
			point(pages[n-1], chain[i+1])
		}
	})
	s, err := read(t, root, 10*time.Second)
	if err == nil {
		t.Fatalf("read %d references; want an error", len(s.refs))
	}
	if !strings.HasSuffix(err.Error(), "damaged: it has more in its rows than bytes") {
		t.Errorf("read = %v; want to hear of too many rows", err)
	}
}

// point lets all children of an interior page be one.
func point(page []byte, child uint32) {
	for i := range binary.BigEndian.Uint16(page[3:]) {
		cell := binary.BigEndian.Uint16(page[12+2*i:])
		binary.BigEndian.PutUint32(page[cell:], child)
	}
	binary.BigEndian.PutUint32(page[8:], child)
}

// patch changes pages of the database of a root.
func patch(t *testing.T, root string, change func(pages [][]byte)) {
	t.Helper()
	b, err := os.ReadFile(root + databasePath)
	if err != nil {
		t.Fatal(err)
	}
	change(slices.Collect(slices.Chunk(b, pageSize)))
	write(t, root+databasePath, string(b))
}

// TestSpend: texts that go on in the same pages can be no more than the database has, either.
func TestSpend(t *testing.T) {
	s := &snapshot{left: 10}
	for _, test := range []struct {
		n  int
		ok bool
	}{{4, true}, {6, true}, {0, true}, {1, false}} {
		if err := s.spend(test.n); (err == nil) != test.ok {
			t.Errorf("spend(%d) = %v; want an error: %v", test.n, err, !test.ok)
		}
	}
}
