package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/export-profile/export-profile/profile"
)

// Tables is the part of Nix's schema (libstore/schema.sql) that matters here.
const Tables = `
	create table if not exists ValidPaths (
		id               integer primary key autoincrement not null,
		path             text unique not null,
		hash             text not null,
		registrationTime integer not null,
		deriver          text,
		narSize          integer,
		ultimate         integer,
		sigs             text,
		ca               text
	);` + refsTables

const refsTables = `
	create table if not exists Refs (
		referrer  integer not null,
		reference integer not null,
		primary key (referrer, reference),
		foreign key (referrer) references ValidPaths(id) on delete cascade,
		foreign key (reference) references ValidPaths(id) on delete restrict
	);
	create index if not exists IndexReferrer on Refs(referrer);
	create index if not exists IndexReference on Refs(reference);
	create trigger if not exists DeleteSelfRefs before delete on ValidPaths
	begin
		delete from Refs where referrer = old.id and reference = old.id;
	end;`

// GuixTables is the same part of Guix's schema (guix/store/schema.sql), and its table of its own.
const GuixTables = `
	create table if not exists ValidPaths (
		id               integer primary key autoincrement not null,
		path             text unique not null,
		hash             text not null,
		registrationTime integer not null,
		deriver          text,
		narSize          integer
	);
	create table if not exists FailedPaths (
		path text primary key not null,
		time integer not null
	);` + refsTables

// WriteDatabase writes a root directory with a store and Nix's database.
func (s *Sample) WriteDatabase(t testing.TB) string {
	t.Helper()
	root := s.WriteRoot(t)
	s.AddDatabase(t, root)
	return root
}

// AddDatabase writes Nix's database, or Guix's, into a root directory with a store.
func (s *Sample) AddDatabase(t testing.TB, root string) {
	t.Helper()
	dir := filepath.Join(root, profile.StateDir(s.Dir), "db")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	guix := s.Dir.IsGuix()
	schema, tables := "10", Tables
	if guix {
		schema, tables = "7", GuixTables
	}
	if err := os.WriteFile(filepath.Join(dir, "schema"), []byte(schema), 0o644); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(dir, "db.sqlite"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	run := func(query string, args ...any) {
		t.Helper()
		if err := sqlitex.Execute(conn, query, &sqlitex.ExecOptions{Args: args}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitex.ExecuteScript(conn, tables, nil); err != nil {
		t.Fatal(err)
	}
	run("pragma synchronous = off")
	run("begin")
	for _, info := range s.Infos {
		run("insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 1700000000, ?)",
			string(info.Path), "sha256:"+info.NarHash.Hex(), info.NarSize)
		if !guix {
			run("update ValidPaths set sigs = ? where path = ?", strings.Join(info.Signatures, " "), string(info.Path))
		}
	}
	for _, info := range s.Infos {
		for _, r := range info.References {
			run("insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?", string(info.Path), string(r))
		}
	}
	run("commit")
}

// Dense rewrites the database of a root with the smallest pages, and returns its name.
// It is then a fifth as large, and nearly all of its bytes matter.
func Dense(t testing.TB, root string) string {
	t.Helper()
	name := filepath.Join(root, "nix/var/nix/db/db.sqlite")
	conn, err := sqlite.OpenConn(name, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	err = sqlitex.ExecuteTransient(conn, "pragma page_size = 512", nil)
	if err == nil {
		err = sqlitex.ExecuteTransient(conn, "vacuum", nil)
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}
