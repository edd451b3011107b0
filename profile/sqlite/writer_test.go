package sqlite

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
)

// TestWriter checks that both SQLite and this package read what a Writer has written.
func TestWriter(t *testing.T) {
	numbers := []int64{0, 1, -1, math.MinInt64, math.MaxInt64}
	for shift := range 63 {
		numbers = append(numbers, 1<<shift-1, 1<<shift, -1<<shift, -1<<shift-1)
	}
	for _, n := range []int{0, 1, len(numbers), 20_000} {
		w := NewWriter()
		root := w.Table(n, func(i int) []byte {
			return Record(nil, numbers[i%len(numbers)], strings.Repeat("x", i%900))
		})
		file, err := w.Finish([]Definition{{"table", "t", "t", root, "CREATE TABLE t (id integer primary key, n, text)"}})
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		conn, err := sqlite.OpenConn(name, sqlite.OpenReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var want []string
		for i := range n {
			row := fmt.Sprintf("%d id=%d n=%d", i+1, i+1, numbers[i%len(numbers)])
			if i%900 > 0 {
				row += fmt.Sprintf(" text=%q", strings.Repeat("x", i%900))
			}
			want = append(want, row)
		}
		got, err := rows(t.Context(), file, nil, "t", "id")
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%d rows: rows = %v (-want +got):\n%.2000s", n, err, d)
		}
		theirs, err := theirs{conn, name}.rows("t")
		for i := range theirs {
			theirs[i] = strings.TrimSuffix(theirs[i], ` text=""`)
		}
		if d := cmp.Diff(want, theirs); err != nil || d != "" {
			t.Errorf("%d rows: SQLite finds, %v (-want +got):\n%.2000s", n, err, d)
		}
	}
}

func TestWriterErrors(t *testing.T) {
	w := NewWriter()
	w.Table(1, func(int) []byte { return Record(strings.Repeat("x", maxWrittenRow)) })
	w.Index(1, func(int) []byte { return Record(strings.Repeat("x", 2*maxWrittenRow)) })
	want := fmt.Sprintf("a row has %d bytes; at most %d are possible", maxWrittenRow+3, maxWrittenRow)
	if _, err := w.Finish(nil); err == nil || err.Error() != want {
		t.Errorf("Finish after a long row = %v; want %s", err, want)
	}
	w = NewWriter()
	schema := make([]Definition, 10)
	for i := range schema {
		schema[i].SQL = strings.Repeat("x", 500)
	}
	if _, err := w.Finish(schema); err == nil || !strings.Contains(err.Error(), "the schema is ") {
		t.Errorf("Finish with a long schema = %v; want an error", err)
	}
}

// TestAppendVarint checks that varint reads what appendVarint has written.
func TestAppendVarint(t *testing.T) {
	for shift := range 65 {
		for _, v := range []uint64{1<<shift - 1, 1 << shift, 1<<shift + 1} {
			b := appendVarint([]byte("x"), v)
			got, n := varint(b[1:])
			if got != v || n != len(b)-1 || !bytes.HasPrefix(b, []byte("x")) {
				t.Errorf("varint(appendVarint(%d)) = %d, %d; want %d, %d", v, got, n, v, len(b)-1)
			}
		}
	}
}
