package localstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestStates checks that the database is read completely in every state that Nix, a crash or a copy leaves.
// In each state, object b is in the place that is easiest to miss.
func TestStates(t *testing.T) {
	plain := func(mode string) func(t *testing.T) string {
		return func(t *testing.T) string {
			root := newRoot(t)
			conn := connect(t, root, "")
			sql(t, conn, `pragma journal_mode = `+mode)
			sql(t, conn, tables+";"+add("a", "b: a"))
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			return root
		}
	}
	idle := plain("wal")
	// live has a in db.sqlite and b only in the log.
	live := func(t *testing.T) (string, *sqlite.Conn) {
		root, conn := newDB(t)
		sql(t, conn, add("a"))
		sql(t, conn, `pragma wal_checkpoint(truncate)`)
		sql(t, conn, add("b: a"))
		if fi, err := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-wal"); err != nil || fi.Size() == 0 {
			t.Fatalf("no log: %v", err)
		}
		return root, conn
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T) string
		want string // default "a, b: a"
	}{
		{name: "idle, no log", make: idle},
		{name: "idle, empty log", make: func(t *testing.T) string {
			root := idle(t)
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-wal", "")
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-shm", strings.Repeat("\x00", 32<<10))
			return root
		}},
		{name: "idle, empty log that cannot be read", make: func(t *testing.T) string {
			root := idle(t)
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-wal", "")
			if err := os.Chmod(root+"/nix/var/nix/db/db.sqlite"+"-wal", 0); err != nil {
				t.Fatal(err)
			}
			return root
		}},
		{name: "live writer", make: func(t *testing.T) string {
			root, _ := live(t)
			return root
		}},
		{name: "live writer in a transaction", make: func(t *testing.T) string {
			root, conn := live(t)
			sql(t, conn, `pragma cache_size = 1`)
			sql(t, conn, `pragma cache_spill = 1`)
			sql(t, conn, `begin immediate`)
			before, _ := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-wal")
			for i := range 300 {
				sql(t, conn, add(fmt.Sprint("x", i)))
			}
			if after, _ := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-wal"); after.Size() <= before.Size() {
				t.Fatal("the transaction did not reach the log")
			}
			return root
		}},
		{name: "live writer, log checkpointed", make: func(t *testing.T) string {
			root, conn := live(t)
			sql(t, conn, `pragma wal_checkpoint(passive)`)
			return root
		}},
		{name: "live writer, log restarted", make: func(t *testing.T) string {
			root, conn := newDB(t)
			sql(t, conn, add("x", "y", "z", "a"))
			sql(t, conn, `delete from ValidPaths where id < 4`)
			sql(t, conn, `pragma wal_checkpoint(restart)`)
			sql(t, conn, add("b: a")) // overwrites the beginning of the old log, whose end remains
			return root
		}},
		{name: "live writer without an index", make: func(t *testing.T) string {
			root := idle(t)
			conn := connect(t, root, "")
			sql(t, conn, `pragma locking_mode = exclusive`)
			sql(t, conn, add("c"))
			if _, err := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-shm"); err == nil {
				t.Fatal("there is an index")
			}
			return root
		}, want: "a, b: a, c"},
		{name: "crashed writer", make: func(t *testing.T) string {
			root, _ := live(t)
			return crash(t, root, "", "-wal", "-shm")
		}},
		{name: "crashed writer, index of another log", make: func(t *testing.T) string {
			root, _ := live(t)
			other, conn := live(t)
			sql(t, conn, add("x", "y", "z"))
			crashed := crash(t, root, "", "-wal")
			b, err := os.ReadFile(other + "/nix/var/nix/db/db.sqlite" + "-shm")
			if err != nil {
				t.Fatal(err)
			}
			write(t, crashed+"/nix/var/nix/db/db.sqlite"+"-shm", string(b))
			return crashed
		}},
		{name: "copied without index", make: func(t *testing.T) string {
			root, _ := live(t)
			return crash(t, root, "", "-wal")
		}},
		{name: "log cut within a transaction", make: func(t *testing.T) string {
			root, conn := live(t)
			whole, _ := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-wal")
			sql(t, conn, add("c: a b"))
			crashed := crash(t, root, "", "-wal")
			if err := os.Truncate(crashed+"/nix/var/nix/db/db.sqlite"+"-wal", whole.Size()+1000); err != nil {
				t.Fatal(err)
			}
			return crashed
		}},
		{name: "log of zeros", make: func(t *testing.T) string {
			root := idle(t)
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-wal", strings.Repeat("\x00", 8192))
			return root
		}},
		{name: "log with other content", make: func(t *testing.T) string {
			root := idle(t)
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-wal", "no log")
			return root
		}},
		{name: "no log mode", make: plain("delete")},
		{name: "no log mode, journal kept", make: func(t *testing.T) string {
			root := plain("persist")(t)
			if fi, err := os.Stat(root + "/nix/var/nix/db/db.sqlite" + "-journal"); err != nil || fi.Size() == 0 {
				t.Fatalf("no journal: %v", err)
			}
			return root
		}},
		{name: "no log mode, locked", make: func(t *testing.T) string {
			root := plain("truncate")(t)
			sql(t, connect(t, root, ""), `begin exclusive`)
			return root
		}},
		{name: "no log mode, locked by a file", make: func(t *testing.T) string {
			root := plain("truncate")(t)
			sql(t, connect(t, root, "vfs=unix-dotfile"), `begin immediate`)
			if _, err := os.Stat(root + "/nix/var/nix/db/db.sqlite" + ".lock"); err != nil {
				t.Fatal(err)
			}
			return root
		}},
		{name: "small pages", make: func(t *testing.T) string {
			root := newRoot(t)
			conn := connect(t, root, "")
			sql(t, conn, `pragma page_size = 512`)
			sql(t, conn, `pragma journal_mode = wal`)
			sql(t, conn, tables+";"+add("a", "b: a"))
			return root
		}},
		{name: "large pages", make: func(t *testing.T) string {
			root := newRoot(t)
			conn := connect(t, root, "")
			sql(t, conn, `pragma page_size = 65536`)
			sql(t, conn, `pragma journal_mode = wal`)
			sql(t, conn, tables+";"+add("a", "b: a"))
			return root
		}},
		{name: "columns added by an upgrade", make: func(t *testing.T) string {
			root := newRoot(t)
			conn := connect(t, root, "")
			sql(t, conn, `create table ValidPaths (id integer primary key autoincrement not null, path text unique not null,
				hash text not null, registrationTime integer not null, narSize integer)`)
			sql(t, conn, `create table Refs (referrer integer not null, reference integer not null, primary key (referrer, reference))`)
			sql(t, conn, add("a", "b: a"))
			for _, column := range []string{"deriver text", "ultimate integer", "sigs text", "ca text"} {
				sql(t, conn, `alter table ValidPaths add column `+column)
			}
			return root
		}},
		{name: "without the index of newer Nix", make: func(t *testing.T) string {
			root := idle(t)
			sql(t, connect(t, root, ""), `drop index IndexReferrer`)
			return root
		}},
		{name: "self-references, cycles and order", make: func(t *testing.T) string {
			root, conn := newDB(t)
			sql(t, conn, add("c", "b: c b", "a: a b c"))
			sql(t, conn, `insert into Refs values (1, 3)`)
			return root
		}, want: "a: a b c, b: b c, c: a"},
		{name: "no objects", make: func(t *testing.T) string {
			root, _ := newDB(t)
			return root
		}, want: "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := test.make(t)
			s, err := read(t, root, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			want := test.want
			switch want {
			case "":
				want = "a, b: a"
			case "-":
				want = ""
			}
			if got := s.names(t); got != want {
				t.Errorf("objects = %q; want %q", got, want)
			}
		})
	}
}

// TestBadDatabase checks that an unreadable database gives an error of one line.
func TestBadDatabase(t *testing.T) {
	good := func(t *testing.T) string {
		root, conn := newDB(t)
		sql(t, conn, add("a", "b: a"))
		conn.Close()
		return root
	}
	schema := func(text string) func(t *testing.T) string {
		return func(t *testing.T) string {
			root := good(t)
			write(t, filepath.Dir(root+"/nix/var/nix/db/db.sqlite")+"/schema", text)
			return root
		}
	}
	patch := func(change func([]byte) []byte) func(t *testing.T) string {
		return func(t *testing.T) string {
			root := good(t)
			b, err := os.ReadFile(root + "/nix/var/nix/db/db.sqlite")
			if err != nil {
				t.Fatal(err)
			}
			write(t, root+"/nix/var/nix/db/db.sqlite", string(change(b)))
			return root
		}
	}
	script := func(script string) func(t *testing.T) string {
		return func(t *testing.T) string {
			root := newRoot(t)
			sql(t, connect(t, root, ""), script)
			return root
		}
	}
	for _, test := range []struct {
		name    string
		make    func(t *testing.T) string
		err     string // after `open store "ROOT": `
		is      error
		notRoot bool
	}{
		{name: "nothing there", make: func(t *testing.T) string { return t.TempDir() },
			err: `no store database at "ROOT/nix/var/nix/db/db.sqlite": file does not exist`, is: ErrNoDatabase},
		{name: "store without database", make: func(t *testing.T) string { return newRoot(t) },
			err: `no store database at "ROOT/nix/var/nix/db/db.sqlite": file does not exist`, is: ErrNoDatabase},
		{name: "database without store", make: func(t *testing.T) string {
			root := good(t)
			os.Remove(root + "/nix/store")
			return root
		}, err: `find store directory: "ROOT/nix/store": no such file or directory`, is: fs.ErrNotExist},
		{name: "empty", make: patch(func([]byte) []byte { return nil }),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": is empty: Nix has not set it up, or it was truncated`},
		{name: "not a database", make: patch(func([]byte) []byte { return bytes.Repeat([]byte("text\n"), 1000) }),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": not an SQLite database`},
		{name: "short text", make: patch(func([]byte) []byte { return []byte("text\n") }),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": not an SQLite database`},
		{name: "cut", make: patch(func(b []byte) []byte { return b[:5000] }),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": damaged: the file has 1 of 8 pages`},
		{name: "garbage in a page", make: patch(func(b []byte) []byte { copy(b[4096:], bytes.Repeat([]byte{0xee}, 4096)); return b }),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": damaged: page 2 has kind 0xee, which no table has`},
		{name: "no tables", make: script(`create table x (y)`),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": has no table "ValidPaths"`},
		{name: "other columns", make: script(`create table ValidPaths (id, path)`),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": table "ValidPaths" has no column "hash"`},
		{name: "a view", make: script(`create view ValidPaths as select 1 as id`),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": "ValidPaths" is not a table`},
		{name: "version 11", make: schema("11"),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": its version 11 is not supported, only 7 to 10 are`},
		{name: "version 6", make: schema("6\n"),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": its version 6 is not supported, only 7 to 10 are`},
		{name: "no number", make: schema("ten"),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": its version is "ten", not a number`},
		{name: "no version", make: func(t *testing.T) string {
			root := good(t)
			os.Remove(filepath.Dir(root+"/nix/var/nix/db/db.sqlite") + "/schema")
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": its version is unknown: "ROOT/nix/var/nix/db/schema": file does not exist`},
		{name: "another store directory", make: script(tables + `; insert into ValidPaths (path, hash, registrationTime) values
			('/gnu/store/` + pathOf("a").Base() + `', 'sha256:00', 1)`),
			err: "its database is of the store directory /gnu/store, not of /nix/store"},
		{name: "a path twice", make: script(`create table ValidPaths (id integer primary key, path, hash, narSize, deriver);
			create table Refs (referrer, reference);
			insert into ValidPaths (path) values ('` + string(pathOf("a")) + `'), ('` + string(pathOf("a")) + `')`),
			err: `read database "ROOT/nix/var/nix/db/db.sqlite": damaged: store path "` + string(pathOf("a")) + `" occurs twice`},
		{name: "unfinished transaction", make: func(t *testing.T) string {
			root := newRoot(t)
			conn := connect(t, root, "")
			sql(t, conn, `pragma journal_mode = truncate`)
			sql(t, conn, tables)
			sql(t, conn, `pragma cache_size = 1`)
			sql(t, conn, `begin immediate`)
			for i := range 300 {
				sql(t, conn, add(fmt.Sprint("x", i)))
			}
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": ` +
			`unfinished transaction in "db.sqlite-journal": a program is writing it, or was killed while writing (tried for 300ms)`},
		{name: "a directory", make: func(t *testing.T) string {
			root := newRoot(t)
			mkdir(t, root+"/nix/var/nix/db/db.sqlite")
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": open "ROOT/nix/var/nix/db/db.sqlite": not a regular file`},
		{name: "the log is a link", make: func(t *testing.T) string {
			root := good(t)
			symlink(t, "/etc/passwd", root+"/nix/var/nix/db/db.sqlite"+"-wal")
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": open "ROOT/nix/var/nix/db/db.sqlite-wal": a symbolic link, not a regular file`},
		{name: "a link out", make: func(t *testing.T) string {
			root := newRoot(t)
			symlink(t, "../../../../../../etc/passwd", root+"/nix/var/nix/db/db.sqlite")
			return root
		}, err: `no store database at "ROOT/nix/var/nix/db/db.sqlite": file does not exist`, is: ErrNoDatabase},
		{name: "a link to itself", make: func(t *testing.T) string {
			root := newRoot(t)
			symlink(t, "db.sqlite", root+"/nix/var/nix/db/db.sqlite")
			return root
		}, err: `find database: "ROOT/nix/var/nix/db/db.sqlite": too many levels of symbolic links`},
		{name: "unreadable", make: func(t *testing.T) string {
			root := good(t)
			os.Chmod(root+"/nix/var/nix/db/db.sqlite", 0)
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": open ROOT/nix/var/nix/db/db.sqlite: permission denied`,
			is: fs.ErrPermission, notRoot: true},
		{name: "unreadable log", make: func(t *testing.T) string {
			root := good(t)
			write(t, root+"/nix/var/nix/db/db.sqlite"+"-wal", "x")
			os.Chmod(root+"/nix/var/nix/db/db.sqlite"+"-wal", 0)
			return root
		}, err: `read database "ROOT/nix/var/nix/db/db.sqlite": open ROOT/nix/var/nix/db/db.sqlite-wal: permission denied`,
			is: fs.ErrPermission, notRoot: true},
		{name: "unreadable directory", make: func(t *testing.T) string {
			root := good(t)
			dir := filepath.Dir(root + "/nix/var/nix/db/db.sqlite")
			os.Chmod(dir, 0)
			t.Cleanup(func() { os.Chmod(dir, 0o755) })
			return root
		}, err: `find database: "ROOT/nix/var/nix/db/db.sqlite": permission denied`, is: fs.ErrPermission, notRoot: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.notRoot && os.Getuid() == 0 {
				t.Skip("root may read everything")
			}
			root := test.make(t)
			s, err := Open(t.Context(), root, Options{maxWait: 300 * time.Millisecond})
			if err == nil {
				s.Close()
			}
			want := `open store "` + root + `": ` + strings.ReplaceAll(test.err, "ROOT", root)
			if err == nil || err.Error() != want || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Open = %v; want %s", err, want)
			}
		})
	}
}

// TestSnapshot reads while a writer commits and checkpoints as fast as it can.
// It checks that each result is the state of one instant, not before reading began.
func TestSnapshot(t *testing.T) {
	root, conn := newDB(t)
	sql(t, conn, add("a0", "b0: a0"))
	var committed atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(testrun.Of(500, 5000))*time.Millisecond)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			// Each transaction adds a pair of objects that refer to each other, and deletes an old pair.
			a, b := fmt.Sprint("a", i), fmt.Sprint("b", i)
			sql(t, conn, add(a, b+": "+a)+
				fmt.Sprintf("insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = '%s' and b.path = '%s';\n", pathOf(a), pathOf(b))+
				fmt.Sprintf("delete from Refs where referrer in (select id from ValidPaths where path in ('%[1]s', '%[2]s'));"+
					"delete from ValidPaths where path in ('%[1]s', '%[2]s')", pathOf(fmt.Sprint("a", i-20)), pathOf(fmt.Sprint("b", i-20))))
			committed.Store(i)
			switch {
			case i%97 == 0:
				sql(t, conn, `pragma wal_checkpoint(truncate)`)
				time.Sleep(time.Duration(i%7) * 10 * time.Millisecond)
			case i%31 == 0:
				sql(t, conn, `pragma wal_checkpoint(passive)`)
				time.Sleep(time.Duration(i%11) * 10 * time.Millisecond)
			}
		}
	})
	reads := 0
	for ctx.Err() == nil {
		least := committed.Load()
		d := database{path: root + "/nix/var/nix/db/db.sqlite", maxWait: maxWait}
		s, err := d.read(t.Context())
		most := committed.Load() + 1
		if err != nil {
			t.Error(err)
			break
		}
		reads++
		seen := make(map[string]bool)
		newest := int64(0)
		for _, p := range s.paths() {
			o, _ := s.find(p)
			info, err := s.info(o)
			if err != nil {
				t.Fatal(err)
			}
			seen[p.Name()] = true
			var n int64
			fmt.Sscan(p.Name()[1:], &n)
			newest = max(newest, n)
			if n > 0 && len(info.References) != 1 {
				t.Errorf("%s has the references %v; want the other object of its pair", p.Name(), info.References)
			}
		}
		if newest < least || newest > most {
			t.Errorf("read transaction %d; want one from %d to %d", newest, least, most)
		}
		if want := int(min(newest+1, 20)) * 2; len(seen) != want {
			t.Errorf("after transaction %d there are %d objects; want %d", newest, len(seen), want)
		}
		for n := max(0, newest-19); n <= newest; n++ {
			if !seen[fmt.Sprint("a", n)] || !seen[fmt.Sprint("b", n)] {
				t.Errorf("after transaction %d, pair %d is incomplete", newest, n)
			}
		}
	}
	group.Wait()
	t.Logf("%d reads, %d transactions", reads, committed.Load())
	if reads < 3 {
		t.Errorf("%d reads; want at least 3", reads)
	}
}

// TestKeepsWriting checks that a writer which never stops writing db.sqlite causes an error.
func TestKeepsWriting(t *testing.T) {
	root, conn := newDB(t)
	// With this many objects, reading takes longer than one write.
	sql(t, conn, `with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
		insert into ValidPaths (path, hash, registrationTime) select printf('/nix/store/%032d-x', i), 'sha256:00', 1 from n`)
	for name, times := range map[string]func(i int64) time.Time{
		"now":      func(int64) time.Time { return time.Now() },
		"long ago": func(i int64) time.Time { return time.Unix(i, 0) }, // only the change of the time shows the write
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() {
				for i := int64(0); ctx.Err() == nil; i++ {
					os.Chtimes(root+"/nix/var/nix/db/db.sqlite", time.Time{}, times(i))
				}
			})
			defer group.Wait()
			defer cancel()
			d := database{path: root + "/nix/var/nix/db/db.sqlite", maxWait: 100 * time.Millisecond}
			want := "a program keeps writing to it (tried for 100ms)"
			var err error
			for end := time.Now().Add(10 * time.Second); time.Now().Before(end); { // the writer may not have been scheduled
				if _, err = d.read(t.Context()); err != nil && err.Error() == want {
					return
				}
			}
			t.Errorf("read = %v; want %s", err, want)
		})
	}
}

// TestUnchangedSince checks which changes of the files invalidate what was read.
func TestUnchangedSince(t *testing.T) {
	log := state{log: logHeader{1}}
	log.db.Size = 4096
	change := func(change func(*state)) state {
		st := log
		change(&st)
		return st
	}
	idle := change(func(st *state) { st.log = logHeader{} })
	for _, test := range []struct {
		name          string
		before, after state
		want          bool
	}{
		{"nothing changed", log, log, true},
		{"log started", idle, log, true},
		{"log restarted", log, change(func(st *state) { st.log[16]++ }), false},
		{"log gone", log, idle, false},
		{"written", log, change(func(st *state) { st.db.Mtim.Nsec++ }), false},
		{"written, time set back", log, change(func(st *state) { st.db.Ctim.Nsec++ }), false},
		{"grown", idle, change(func(st *state) { st.db.Size++; st.log = logHeader{} }), false},
		{"replaced", idle, change(func(st *state) { st.db.Ino++; st.log = logHeader{} }), false},
	} {
		if got := test.after.unchangedSince(test.before); got != test.want {
			t.Errorf("%s: unchangedSince = %v; want %v", test.name, got, test.want)
		}
	}
}

// TestRecentWrite checks that a database written just now is busy: another write might not change its time.
func TestRecentWrite(t *testing.T) {
	root, _ := newDB(t)
	d := database{path: root + "/nix/var/nix/db/db.sqlite"}
	var err error
	for range 20 { // the test may not be scheduled in time
		now := time.Now()
		os.Chtimes(d.path, now, now)
		if _, err = d.inspect(); err == errWriting {
			break
		}
	}
	if err != errWriting {
		t.Errorf("inspect just after a write: %v; want %v", err, errWriting)
	}
	time.Sleep(2 * mtimeGranularity)
	if _, err := d.inspect(); err != nil {
		t.Errorf("inspect a while after a write: %v", err)
	}
}

// TestCancel checks that Open returns the cause of a cancelled context.
func TestCancel(t *testing.T) {
	root, conn := newDB(t)
	sql(t, conn, add("a"))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer needed")
	cancel(why)
	if _, err := Open(ctx, root, Options{}); !errors.Is(err, why) {
		t.Errorf("Open, cancelled = %v; want %v", err, why)
	}
}

func BenchmarkOpen(b *testing.B) {
	const objects, refs = 30_000, 315_000
	root, conn := newDB(b)
	sql(b, conn, fmt.Sprintf(`
		with recursive n(i) as (select 1 union all select i+1 from n where i < %d)
		insert into ValidPaths (path, hash, registrationTime, deriver, narSize, sigs)
			select printf('/nix/store/%%032d-package-with-a-name-%%d', i, i), printf('sha256:%%064d', i), 1,
				printf('/nix/store/%%032d-package-with-a-name-%%d.drv', i, i), 1000 + i, 'cache.nixos.org-1:'||hex(randomblob(44)) from n;
		with recursive n(i) as (select 1 union all select i+1 from n where i < %d)
		insert or ignore into Refs select 1 + i %% %d, 1 + abs(random()) %% %d from n;`, objects, refs, objects, objects))
	open := func(b *testing.B) {
		fi, err := os.Stat(root + "/nix/var/nix/db/db.sqlite")
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * mtimeGranularity)
		b.ReportAllocs()
		for b.Loop() {
			s, err := Open(b.Context(), root, Options{})
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
		b.ReportMetric(float64(fi.Size())/1e6, "MB")
	}
	b.Run("with log", open)
	conn.Close()
	b.Run("without log", open)
}
