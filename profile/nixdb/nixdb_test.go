package nixdb

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
	"github.com/export-profile/export-profile/rootfs/staging"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

func closure(t testing.TB, store profile.Store, roots ...profile.Path) *profile.Closure {
	t.Helper()
	c, err := profile.FindClosure(t.Context(), store, roots...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// contents returns the regular files of a tree.
func contents(t testing.TB, tree rootfs.Tree) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for e, err := range rootfs.Check("", tree) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != e.Size {
			t.Fatalf("%q has %d bytes, %v; want %d", e.Path, len(b), err, e.Size)
		}
		files[e.Path] = string(b)
	}
	return files
}

const databasePath = "nix/var/nix" + "/db/db.sqlite"

// goldenDatabase is the SHA-256 of the golden closure's database.
// If it changes, so does every image with a database.
const goldenDatabase = "9f691a1caea61c7db79ce49325b41f18d2d8caf99fbac5c509403b407dd3e53b"

const goldenList = `d 0755 nix
d 0755 nix/var
d 0755 nix/var/nix
d 0755 nix/var/nix/db
f 0644 nix/var/nix/db/db.sqlite 45056 9f691a1caea61c7db79ce49325b41f18d2d8caf99fbac5c509403b407dd3e53b
f 0644 nix/var/nix/db/schema 2 4a44dc15364204a80fe80e9039455cc1608281820fe2b24f1e5233ade6af1dd5
d 0755 nix/var/nix/gcroots
l nix/var/nix/gcroots/81bxdbdx9ndqilgq6wn7y9y0zdfaxli1-user-environment -> /nix/store/81bxdbdx9ndqilgq6wn7y9y0zdfaxli1-user-environment
l nix/var/nix/gcroots/profiles -> /nix/var/nix/profiles
d 0755 nix/var/nix/profiles
d 0755 nix/var/nix/profiles/per-user
d 0755 nix/var/nix/temproots`

func TestGolden(t *testing.T) {
	s := storetest.GoldenSample(t)
	tree, err := Files(closure(t, s, s.Root))
	if err != nil {
		t.Fatal(err)
	}
	got, err := storetest.List(tree)
	if err != nil {
		t.Fatal(err)
	}
	db := contents(t, tree)[databasePath]
	sum := sha256.Sum256([]byte(db))
	if got := hex.EncodeToString(sum[:]); got != goldenDatabase {
		t.Errorf("the golden closure's database has the hash %s; want %s", got, goldenDatabase)
	}
	want := strings.Split(goldenList, "\n")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Files (-want +got):\n%s", d)
	}
}

// TestForms checks that the same closure has the same database in every form of store.
func TestForms(t *testing.T) {
	for _, s := range storetest.Samples(t) {
		tree, err := Files(closure(t, s, s.Root))
		if err != nil {
			t.Fatal(err)
		}
		want := contents(t, tree)
		for _, form := range []struct {
			name, from, references string
		}{
			{"export stream", s.WriteExport(t), ""},
			{"tar, scanned", s.WriteTar(t), ""},
			{"directory, scanned", s.WriteRoot(t), ""},
			{"directory and references", s.WriteRoot(t), s.WriteRegistration(t, true)},
			{"references without hashes", s.WriteRoot(t), s.WriteRegistration(t, false)},
			{"database", s.WriteDatabase(t), ""},
		} {
			t.Run(s.Name+"/"+form.name, func(t *testing.T) {
				var o source.Options
				if form.references != "" {
					o.References = form.references
				}
				o.SpoolDir = t.TempDir()
				store, err := source.Open(t.Context(), []string{form.from}, o)
				if err != nil {
					t.Fatal(err)
				}
				defer store.Close()
				tree, err := Files(closure(t, store, s.Root))
				if err != nil {
					t.Fatal(err)
				}
				if got := contents(t, tree); !cmp.Equal(want, got) {
					t.Error("the bytes differ from those of the sample")
				}
			})
		}
	}
}

// TestOptionalMetadata checks that derivers, signatures, content addresses and the order of roots make no difference.
func TestOptionalMetadata(t *testing.T) {
	s := storetest.GoldenSample(t)
	c := closure(t, s, s.Root, s.Infos[0].Path)
	plain, err := Files(c)
	if err != nil {
		t.Fatal(err)
	}
	rich := &profile.Closure{Roots: []profile.Path{s.Infos[0].Path, s.Root, s.Root}}
	for _, info := range c.Infos {
		more := *info
		more.Deriver = s.Root + ".drv"
		more.Signatures = []string{"key:c2lnbmF0dXJl"}
		more.CA = "text:sha256:" + strings.Repeat("0", 52)
		more.References = slices.Clone(info.References)
		slices.Reverse(more.References)
		rich.Infos = append(rich.Infos, &more)
	}
	other, err := Files(rich)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := storetest.List(plain)
	got, _ := storetest.List(other)
	if d := cmp.Diff(want, got); d != "" || !cmp.Equal(contents(t, plain), contents(t, other)) {
		t.Errorf("the state depends on optional metadata (-want +got):\n%s", d)
	}
}

// TestRoundTrip checks that package localstore reads the closure from its database.
func TestRoundTrip(t *testing.T) {
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(storetest.Samples(t), storetest.TinyIn(t, guix)) {
		t.Run(s.Name+s.Dir.String(), func(t *testing.T) {
			c := closure(t, s, s.Root)
			tree, err := Files(c)
			if err != nil {
				t.Fatal(err)
			}
			base, err := base.Extend(rootfs.Part{Name: "base", Tree: func(func(rootfs.Entry, error) bool) {}}, tree)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "root")
			t.Cleanup(func() { _ = staging.RemoveAll(dir) }) // read-only directories
			if err := rootfs.WriteDir(t.Context(), dir, append(c.Parts(t.Context()), base), rootfs.DirOptions{}); err != nil {
				t.Fatal(err)
			}
			store, err := localstore.Open(t.Context(), dir, localstore.Options{StoreDir: s.Dir, Signatures: true})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			again := closure(t, store, s.Root)
			if d := cmp.Diff(c.Infos, again.Infos, cmpopts.IgnoreFields(profile.Info{}, "Deriver", "Signatures", "CA"), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("infos (-written +read):\n%s", d)
			}
			for _, info := range again.Infos {
				if info.Deriver != "" || info.Signatures != nil || info.CA != "" {
					t.Errorf("%q has a deriver %q, signatures %q or a content address %q", info.Path, info.Deriver, info.Signatures, info.CA)
				}
			}
			storetest.Test(t, store, s)
		})
	}
}

// query returns a line for each row of a query.
func query(t testing.TB, conn *sqlite.Conn, query string) (rows []string) {
	t.Helper()
	err := sqlitex.ExecuteTransient(conn, query, &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		var words []string
		for i := range row.ColumnCount() {
			words = append(words, row.ColumnText(i))
		}
		rows = append(rows, strings.Join(words, " "))
		return nil
	}})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return rows
}

// open opens a database with SQLite.
func open(t testing.TB, db []byte) *sqlite.Conn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "db.sqlite")
	if err := os.WriteFile(name, db, 0o644); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(name, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wide makes n objects that refer to themselves and to the next few. Their sizes vary, so pages end at all places.
func wide(n int) []*profile.Info {
	infos := make([]*profile.Info, n)
	for i := range infos {
		p, err := profile.ParseBase(profile.StoreDir{}, fmt.Sprintf("%032d-%s", i, strings.Repeat("n", 1+i*7%211)))
		if err != nil {
			panic(err)
		}
		infos[i] = &profile.Info{Path: p, NarSize: int64(i) << (i % 40), NarHash: profile.Hash(sha256.Sum256([]byte(p)))}
	}
	for i, info := range infos {
		for j := i; j < min(i+1+i%7, n); j++ {
			info.References = append(info.References, infos[j].Path)
		}
	}
	return infos
}

// TestSQLite checks that SQLite accepts databases of many sizes, finds the rows in them,
// and can go on to use them: turn the log on, like Nix, and change rows.
func TestSQLite(t *testing.T) {
	sizes := []int{199, testrun.Of(1000, 5000)}
	for n := range testrun.Of(40, 199) {
		sizes = append(sizes, n)
	}
	for i, n := range sizes {
		tables, empty := nixTables, "   "
		if i%2 == 1 {
			tables, empty = guixTables, ""
		}
		infos := wide(n)
		db, err := database(infos, tables)
		if err != nil {
			t.Fatal(err)
		}
		conn := open(t, db)
		for _, check := range []string{`pragma integrity_check`, `pragma foreign_key_check`} {
			if got := query(t, conn, check); len(got) > 0 && !slices.Equal(got, []string{"ok"}) {
				t.Fatalf("%d objects: %s: %q", n, check, got)
			}
		}
		var want, wantRefs []string
		for i, info := range infos {
			want = append(want, fmt.Sprintf("%d %s sha256:%s 1  %d%s", i+1, info.Path, info.NarHash.Hex(), info.NarSize, empty))
			for j := range info.References {
				wantRefs = append(wantRefs, fmt.Sprintf("%d %d", i+1, i+1+j))
			}
		}
		if d := cmp.Diff(want, query(t, conn, `select * from ValidPaths not indexed order by id`)); d != "" {
			t.Fatalf("%d objects (-want +got):\n%s", n, d)
		}
		if d := cmp.Diff(wantRefs, query(t, conn, `select referrer, reference from Refs not indexed`)); d != "" {
			t.Fatalf("%d objects (-want +got):\n%s", n, d)
		}
		if got := query(t, conn, `pragma freelist_count`); got[0] != "0" {
			t.Errorf("%d objects: %s pages are free", n, got)
		}
		if got := query(t, conn, `pragma journal_mode = wal`); got[0] != "wal" {
			t.Fatalf("journal_mode = %q", got)
		}
		query(t, conn, `pragma foreign_keys = on`)
		query(t, conn, `insert into ValidPaths (path, hash, registrationTime) values ('/nix/store/new', 'x', 2)`)
		if got := query(t, conn, `select id from ValidPaths where path = '/nix/store/new'`); !slices.Equal(got, []string{fmt.Sprint(n + 1)}) {
			t.Errorf("%d objects: a new object has the id %q", n, got)
		}
		if n > 0 { // delete an object that refers only to itself
			query(t, conn, `delete from ValidPaths where id = 1 and 2 > (select count(*) from Refs where referrer = 1)`)
		}
		if got := query(t, conn, `pragma integrity_check`); !slices.Equal(got, []string{"ok"}) {
			t.Errorf("%d objects, after changes: %q", n, got)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSchema checks that the tables equal those that SQLite makes from the definitions of Nix and of Guix.
func TestSchema(t *testing.T) {
	t.Run("Nix", func(t *testing.T) { testSchema(t, nixTables, storetest.Tables, "ValidPaths", "Refs") })
	t.Run("Guix", func(t *testing.T) {
		testSchema(t, guixTables, storetest.GuixTables, "ValidPaths", "Refs", "FailedPaths")
	})
}

func testSchema(t *testing.T, tables tables, definitions string, names ...string) {
	db, err := database(wide(3), tables)
	if err != nil {
		t.Fatal(err)
	}
	ours := open(t, db)
	theirs, err := sqlite.OpenConn(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := sqlitex.ExecuteScript(theirs, definitions, nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range names {
		for _, about := range []string{
			`select cid, name, lower(type), "notnull", dflt_value, pk from pragma_table_info('` + table + `')`,
			`select * from pragma_foreign_key_list('` + table + `')`,
			`select l.name, l."unique", l.origin, i.name from pragma_index_list('` + table + `') l, pragma_index_info(l.name) i order by 1, 2, 3, 4`,
			`select type, name, tbl_name from sqlite_schema where tbl_name = '` + table + `' order by 1, 2`,
		} {
			if d := cmp.Diff(query(t, theirs, about), query(t, ours, about)); d != "" {
				t.Errorf("%s (-theirs +ours):\n%s", about, d)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	infos := wide(4)
	infos[0].NarHash, infos[2].NarHash = profile.Hash{}, profile.Hash{}
	infos[3].References = []profile.Path{storetest.PathOf("elsewhere")}
	_, err := Files(&profile.Closure{Infos: infos})
	want := fmt.Sprintf("make store database: %q: its NAR hash is not known\n%q: its NAR hash is not known\n%q refers to %q, which is not in the closure",
		infos[0].Path, infos[2].Path, infos[3].Path, storetest.PathOf("elsewhere"))
	if err == nil || err.Error() != want {
		t.Errorf("Files = %v; want %s", err, want)
	}
}

// TestLarge makes the database of a store as large as they get.
func TestLarge(t *testing.T) {
	infos := wide(testrun.Of(3_000, 30_000))
	start := time.Now()
	db, err := database(infos, nixTables)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d objects: %d bytes in %v", len(infos), len(db), time.Since(start))
	if got := query(t, open(t, db), `pragma integrity_check`); !slices.Equal(got, []string{"ok"}) {
		t.Errorf("integrity_check: %q", got)
	}
}

// TestStoreDir checks that the state is beside another store directory, or where Guix has it.
func TestStoreDir(t *testing.T) {
	for dir, want := range map[string]string{"/opt/nix/store": "opt/nix/var/nix/db/db.sqlite", "/store": "var/nix/db/db.sqlite", "/gnu/store": "var/guix/db/db.sqlite", "/x/var": ""} {
		d, err := rootfs.ParseStoreDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := storetest.TinyIn(t, d)
		c, err := profile.FindClosure(t.Context(), s, s.Root)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Files(c)
		if (err == nil) != (want != "") {
			t.Errorf("Files in %s: %v", dir, err)
		}
		if err != nil {
			continue
		}
		found := false
		for e, err := range rootfs.Check("", tree) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || e.Path == want
		}
		if !found {
			t.Errorf("Files in %s lacks %q", dir, want)
		}
	}
}
