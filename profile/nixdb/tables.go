package nixdb

import (
	"cmp"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sqlite"
)

// reference is a row of Refs: the ids of two objects.
type reference struct{ referrer, reference int64 }

func compareReferences(a, b reference) int {
	return cmp.Or(cmp.Compare(a.referrer, b.referrer), cmp.Compare(a.reference, b.reference))
}

// tables are the tables of a package manager.
type tables struct {
	version    string // of the schema
	validPaths string // the definition of ValidPaths
	nulls      int    // its columns after narSize
	failed     bool   // there is a table FailedPaths
}

var (
	nixTables  = tables{version: "10", validPaths: createNixPaths, nulls: 3}
	guixTables = tables{version: "7", validPaths: createGuixPaths, failed: true}
)

// The tables of Nix (libstore/schema.sql), as SQLite stores their definitions. Those of Guix differ in ValidPaths and FailedPaths.
const (
	createNixPaths = `CREATE TABLE ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer,
    sigs             text,
    ca               text
)`
	createGuixPaths = `CREATE TABLE ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer
)`
	createFailedPaths = `CREATE TABLE FailedPaths (
    path text primary key not null,
    time integer not null
)`
	createSequence = `CREATE TABLE sqlite_sequence(name,seq)`
	createRefs     = `CREATE TABLE Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
)`
	createIndexReferrer  = `CREATE INDEX IndexReferrer on Refs(referrer)`
	createIndexReference = `CREATE INDEX IndexReference on Refs(reference)`
	createDeleteSelfRefs = `CREATE TRIGGER DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end`
	createDerivationOutputs = `CREATE TABLE DerivationOutputs (
    drv  integer not null,
    id   text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
)`
	createIndexDerivationOutputs = `CREATE INDEX IndexDerivationOutputs on DerivationOutputs(path)`
)

// registrationTime is one second after the epoch, for every object.
const registrationTime = 1

// encode makes a database of these rows. refs must be sorted. The id of an object is its index plus one.
// Package sqlite writes no row that needs several pages, but no store path makes a row that long.
func encode(infos []*profile.Info, refs []reference, tables tables) ([]byte, error) {
	w := sqlite.NewWriter()

	validPaths := w.Table(len(infos), func(i int) []byte {
		o := infos[i]
		columns := []any{nil, string(o.Path), "sha256:" + o.NarHash.Hex(), int64(registrationTime), nil, o.NarSize}
		return sqlite.Record(append(columns, make([]any, tables.nulls)...)...)
	})
	byPath := w.Index(len(infos), func(i int) []byte { return sqlite.Record(string(infos[i].Path), int64(i)+1) })
	sequence := w.Table(min(1, len(infos)), func(int) []byte { return sqlite.Record("ValidPaths", int64(len(infos))) })

	allRefs := w.Table(len(refs), func(i int) []byte { return sqlite.Record(refs[i].referrer, refs[i].reference) })
	byBoth := w.Index(len(refs), func(i int) []byte {
		return sqlite.Record(refs[i].referrer, refs[i].reference, int64(i)+1)
	})
	byReferrer := w.Index(len(refs), func(i int) []byte { return sqlite.Record(refs[i].referrer, int64(i)+1) })
	order := make([]int, len(refs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(refs[a].reference, refs[b].reference) })
	byReference := w.Index(len(refs), func(i int) []byte {
		return sqlite.Record(refs[order[i]].reference, int64(order[i])+1)
	})

	outputs, byDrv, byOutput := w.Table(0, nil), w.Index(0, nil), w.Index(0, nil)

	definitions := []sqlite.Definition{
		{Type: "table", Name: "ValidPaths", Table: "ValidPaths", Root: validPaths, SQL: tables.validPaths},
		{Type: "index", Name: "sqlite_autoindex_ValidPaths_1", Table: "ValidPaths", Root: byPath},
		{Type: "table", Name: "sqlite_sequence", Table: "sqlite_sequence", Root: sequence, SQL: createSequence},
		{Type: "table", Name: "Refs", Table: "Refs", Root: allRefs, SQL: createRefs},
		{Type: "index", Name: "sqlite_autoindex_Refs_1", Table: "Refs", Root: byBoth},
		{Type: "index", Name: "IndexReferrer", Table: "Refs", Root: byReferrer, SQL: createIndexReferrer},
		{Type: "index", Name: "IndexReference", Table: "Refs", Root: byReference, SQL: createIndexReference},
		{Type: "trigger", Name: "DeleteSelfRefs", Table: "ValidPaths", SQL: createDeleteSelfRefs},
		{Type: "table", Name: "DerivationOutputs", Table: "DerivationOutputs", Root: outputs, SQL: createDerivationOutputs},
		{Type: "index", Name: "sqlite_autoindex_DerivationOutputs_1", Table: "DerivationOutputs", Root: byDrv},
		{Type: "index", Name: "IndexDerivationOutputs", Table: "DerivationOutputs", Root: byOutput, SQL: createIndexDerivationOutputs},
	}
	if tables.failed {
		definitions = append(definitions,
			sqlite.Definition{Type: "table", Name: "FailedPaths", Table: "FailedPaths", Root: w.Table(0, nil), SQL: createFailedPaths},
			sqlite.Definition{Type: "index", Name: "sqlite_autoindex_FailedPaths_1", Table: "FailedPaths", Root: w.Index(0, nil)})
	}
	return w.Finish(definitions)
}
