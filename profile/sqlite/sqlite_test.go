package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// theirs is a database opened by SQLite.
type theirs struct {
	*sqlite.Conn
	name string
}

func create(t testing.TB, pragmas ...string) theirs {
	t.Helper()
	name := filepath.Join(t.TempDir(), "db")
	conn, err := sqlite.OpenConn(name, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	db := theirs{conn, name}
	db.exec(t, "pragma synchronous = off")
	for _, p := range pragmas {
		db.exec(t, "pragma "+p)
	}
	return db
}

func (db theirs) exec(t testing.TB, sql string) {
	t.Helper()
	run := sqlitex.ExecuteScript // in a transaction
	if strings.HasPrefix(sql, "pragma") || sql == "vacuum" || strings.HasPrefix(sql, "begin") {
		run = sqlitex.ExecuteTransient
	}
	if err := run(db.Conn, sql, nil); err != nil {
		t.Fatalf("%.80s: %v", sql, err)
	}
}

// files returns the current content of the database and its log.
func (db theirs) files(t testing.TB) (file, log []byte) {
	t.Helper()
	file, err := os.ReadFile(db.name)
	if err != nil {
		t.Fatal(err)
	}
	log, err = os.ReadFile(db.name + "-wal")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return file, log
}

// rows returns the rows that SQLite finds in a table: their ids, integers and texts.
func (db theirs) rows(table string) (rows []string, err error) {
	err = sqlitex.ExecuteTransient(db.Conn, "select rowid, * from "+table+" not indexed order by rowid", &sqlitex.ExecOptions{
		ResultFunc: func(row *sqlite.Stmt) error {
			text := fmt.Sprint(row.ColumnInt64(0))
			for i := 1; i < row.ColumnCount(); i++ {
				switch row.ColumnType(i) {
				case sqlite.TypeInteger:
					text += fmt.Sprintf(" %s=%d", row.ColumnName(i), row.ColumnInt64(i))
				case sqlite.TypeText:
					text += fmt.Sprintf(" %s=%q", row.ColumnName(i), row.ColumnText(i))
				}
			}
			rows = append(rows, text)
			return nil
		},
	})
	return rows, err
}

func open(ctx context.Context, file, log []byte) (*File, error) {
	var l io.ReaderAt
	if log != nil {
		l = bytes.NewReader(log)
	}
	return Open(ctx, bytes.NewReader(file), int64(len(file)), l)
}

// rows returns the rows that this package finds in a table. id names the integer primary key.
func rows(ctx context.Context, file, log []byte, table, id string) (rows []string, err error) {
	f, err := open(ctx, file, log)
	if err != nil {
		return nil, err
	}
	tab, err := f.Table(ctx, table)
	if err != nil {
		return nil, err
	}
	return rows, tab.Scan(ctx, func(row *Row) error {
		text := fmt.Sprint(row.ID)
		for _, name := range tab.columns {
			column := tab.Column(name)
			if n, ok := row.Int(column); ok {
				text += fmt.Sprintf(" %s=%d", name, n)
			} else if s := row.Text(column); len(s) > 0 {
				text += fmt.Sprintf(" %s=%q", name, s)
			} else if name == id {
				text += fmt.Sprintf(" %s=%d", name, row.ID)
			}
		}
		rows = append(rows, text)
		return nil
	})
}

const table = `create table t (id integer primary key not null, "a, (b" text default ('x,y') not null, -- a comment, with (
	/* and, another */ [c d] varchar(20, 3), n, check (id > 0), unique (n, id));`

// fill inserts numbers and texts of every size.
const fill = `
	insert into t values (1, 'x', 'y', 0), (2, 'x', 'y', 1), (3, 'ä', x'00ff', -1), (4, '1', null, 1.5), (5, 'x', 'y', 2.0);
	insert into t (id, "a, (b", n) values (100, 'x', 127), (101, 'x', -128), (102, 'x', 32767), (103, 'x', -32768),
		(104, 'x', 8388607), (105, 'x', -8388608), (106, 'x', 2147483647), (107, 'x', -2147483648),
		(108, 'x', 140737488355327), (109, 'x', -140737488355328), (110, 'x', 9223372036854775807), (111, 'x', -9223372036854775808);
	insert into t (id, "a, (b") values (9223372036854775807, 'last'), (70000, 'x'), (3000000, 'x'), (600000000, 'x'), (80000000000, 'x');
	with recursive n(i) as (values (1) union all select i + 1 from n where i < 300)
		insert into t select 1000 + i, printf('%.*c', i * 7, 'z'), i, i from n;
	with recursive n(i) as (values (1) union all select i + 1 from n where i < 40)
		insert into t select 2000 + i, printf('%.*c', i * i * 100, 'z'), i, i from n;`

// TestScan compares the rows that Scan and SQLite find, in many kinds of files.
func TestScan(t *testing.T) {
	forms := map[string]func(t *testing.T) theirs{}
	for size := 512; size <= 65536; size *= 2 {
		for _, mode := range []string{"delete", "wal"} {
			forms[fmt.Sprint(mode, " ", size)] = func(t *testing.T) theirs {
				db := create(t, fmt.Sprint("page_size = ", size), "journal_mode = "+mode)
				db.exec(t, table)
				db.exec(t, fill)
				return db
			}
		}
	}
	live := func(t *testing.T) theirs {
		db := create(t, "page_size = 1024", "journal_mode = wal", "wal_autocheckpoint = 0")
		db.exec(t, table)
		db.exec(t, fill)
		return db
	}
	for name, then := range map[string][]string{
		"deleted":              {`delete from t where id % 3 = 0`},
		"checkpointed in part": {`pragma wal_checkpoint(passive)`, `delete from t where id > 1100`},
		"restarted":            {`pragma wal_checkpoint(restart)`, `update t set n = n + 1 where id = 1200`},
		"shrunk":               {`pragma wal_checkpoint(truncate)`, `delete from t where id > 10`, `vacuum`},
		"not committed":        {`pragma cache_size = 1`, `pragma cache_spill = 1`, `begin immediate`, `update t set n = 7`},
		"column added":         {`alter table t add column added text`, `alter table t add column "number, too" integer default 7`, `update t set added = 'x' where id < 10`},
		"column dropped":       {`alter table t drop column [c d]`},
		"column renamed":       {`alter table t rename column [c d] to "e, f"`},
		"many tables":          {manyTables()},
		"emptied":              {`delete from t`},
	} {
		forms["live, "+name] = func(t *testing.T) theirs {
			db := live(t)
			for _, sql := range then {
				db.exec(t, sql)
			}
			return db
		}
	}
	forms["pages that move"] = func(t *testing.T) theirs {
		db := create(t, "auto_vacuum = full", "page_size = 512")
		db.exec(t, table+fill)
		db.exec(t, `delete from t where id % 2 = 0`)
		return db
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := form(t)
			file, log := db.files(t)
			got, err := rows(t.Context(), file, log, "T", "id")
			if err != nil {
				t.Fatal(err)
			}
			if name == "live, not committed" {
				db.exec(t, `pragma cache_size = -2000`)
				if err := sqlitex.ExecuteTransient(db.Conn, `rollback`, nil); err != nil {
					t.Fatal(err)
				}
			}
			want, err := db.rows("t")
			if err != nil {
				t.Fatal(err)
			}
			// Rows from before the column was added do not store its default.
			if name == "live, column added" {
				for i := range want {
					want[i] = strings.TrimSuffix(want[i], " number, too=7")
				}
				for i := range got {
					got[i] = strings.TrimSuffix(got[i], " number, too=7")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-SQLite's +ours):\n%.2000s", diff)
			}
			if name != "live, emptied" && len(got) < 5 {
				t.Errorf("%d rows; want more", len(got))
			}
		})
	}
}

func manyTables() string {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "create table t%d (x); create index i%d on t%d (x); create view v%d as select * from t;", i, i, i, i)
	}
	return b.String()
}

// TestLogCut checks that a log cut or damaged at any byte ends with its last complete transaction.
func TestLogCut(t *testing.T) {
	db := create(t, "page_size = 512", "journal_mode = wal", "wal_autocheckpoint = 0")
	db.exec(t, `create table t (n)`)
	var ends []int // of the log, after each transaction
	for i := range 20 {
		db.exec(t, fmt.Sprintf(`with recursive n(i) as (values (1) union all select i + 1 from n where i < 100) insert into t select %d from n`, i))
		_, log := db.files(t)
		ends = append(ends, len(log))
	}
	file, log := db.files(t)
	whole := func(cut int) (n int) {
		for n < len(ends) && ends[n] <= cut {
			n++
		}
		return n
	}
	count := func(log []byte) int {
		t.Helper()
		got, err := rows(t.Context(), file, log, "t", "")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrNotDatabase) || len(file) < 512 {
			return 0 // the log creates the table
		}
		if err != nil {
			t.Fatal(err)
		}
		return len(got) / 100
	}
	for cut := ends[0]; cut <= len(log); cut += testrun.Of(7*97, 97) {
		if got, want := count(log[:cut]), whole(cut); got != want {
			t.Errorf("a log cut at %d of %d has %d transactions; want %d", cut, len(log), got, want)
		}
		changed := bytes.Clone(log)
		changed[cut-1] ^= 0x10
		if got, want := count(changed), whole(cut-1); got != want && (cut-1-logHeader)%(frameHeader+512) >= 16 {
			t.Errorf("a log changed at %d of %d has %d transactions; want %d", cut-1, len(log), got, want)
		}
	}
}

func TestTableErrors(t *testing.T) {
	db := create(t)
	db.exec(t, `create table t (n); create view v as select * from t; create index i on t (n); create table w (n primary key) without rowid`)
	file, _ := db.files(t)
	for name, want := range map[string]string{
		"x": `table "x": file does not exist`,
		"i": `table "i": file does not exist`,
		"v": `"v" is not a table`,
		"w": `damaged: page 4 has kind 0x0a, which no table has`,
	} {
		if _, err := rows(t.Context(), file, nil, name, ""); err == nil || err.Error() != want {
			t.Errorf("rows of %q = %v; want %s", name, err, want)
		}
	}
}

func TestCancel(t *testing.T) {
	db := create(t)
	db.exec(t, table+fill)
	file, _ := db.files(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	f, err := open(ctx, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := f.Table(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("no longer needed")
	n := 0
	err = tab.Scan(ctx, func(*Row) error {
		n++
		cancel(why)
		return nil
	})
	if !errors.Is(err, why) || n > 200 {
		t.Errorf("Scan = %v after %d rows; want %v after the first page", err, n, why)
	}
	if err := tab.Scan(t.Context(), func(*Row) error { return why }); err != why {
		t.Errorf("Scan = %v; want %v", err, why)
	}
}

func TestColumns(t *testing.T) {
	for sql, want := range map[string][]string{
		``:                       nil,
		`create table t`:         nil,
		`create table t (`:       nil,
		`CREATE TABLE t(a,b)`:    {"a", "b"},
		`create table "t""(" (a`: {"a"},
		"create table t (`a``b`, [c\"d], \"e\"\"f\", 'g''h', i$_1 int, ä)": {"a`b", `c"d`, `e"f`, "g'h", "i$_1", "ä"},
		"create table t (a -- b, c\n, /* d, */ e, primary key (a, e))":     {"a", "e", "primary"},
		`create table t (a decimal(10, 2), b default ((1), ')'), "c`:       {"a", "b", "c"},
		`create table t (a /*`: {"a"},
	} {
		if diff := cmp.Diff(want, columns(sql)); diff != "" {
			t.Errorf("columns(%q) (-want +got):\n%s", sql, diff)
		}
	}
}

// TestColumnsLong checks that parsing takes time linear in the length of a name.
func TestColumnsLong(t *testing.T) {
	start := time.Now()
	got := columns("create table t (\"" + strings.Repeat(`""`, 500_000) + `" int)`)
	if len(got) != 1 || got[0] != strings.Repeat(`"`, 500_000) {
		t.Errorf("%d columns", len(got))
	}
	if took := time.Since(start); took > 10*time.Second { // it takes milliseconds
		t.Errorf("a name of 500,000 quotes takes %v", took)
	}
}

func TestVarint(t *testing.T) {
	for in, want := range map[string]struct {
		v uint64
		n int
	}{
		"":                                     {0, 0},
		"\x00":                                 {0, 1},
		"\x7f\xff":                             {127, 1},
		"\x81\x00":                             {128, 2},
		"\x81":                                 {0, 0},
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff": {1<<64 - 1, 9},
		"\xff\xff\xff\xff\xff\xff\xff\xff":     {0, 0},
		"\x80\x80\x80\x80\x80\x80\x80\x80\x01": {1, 9},
	} {
		if v, n := varint([]byte(in)); v != want.v || n != want.n {
			t.Errorf("varint(%q) = %d, %d; want %d, %d", in, v, n, want.v, want.n)
		}
	}
}
