package nixdb

import (
	"cmp"
	"slices"

	"github.com/export-profile/export-profile/profile"
)

// reference is a row of Refs: two ids of objects.
type reference struct{ referrer, reference int64 }

func compareReferences(a, b reference) int {
	return cmp.Or(cmp.Compare(a.referrer, b.referrer), cmp.Compare(a.reference, b.reference))
}

// The tables are Nix's (libstore/schema.sql), as SQLite keeps them.
const (
	createValidPaths = `CREATE TABLE ValidPaths (
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

// registrationTime is when objects were registered.
const registrationTime = 1

// encode is a database of these rows, of which the references are sorted. An object's id is one more than its index.
func encode(infos []*profile.Info, refs []reference) ([]byte, error) {
	w := newPageWriter()

	paths := w.table(len(infos), func(i int) []byte {
		o := infos[i]
		return record(null, string(o.Path), "sha256:"+o.NarHash.Hex(), int64(registrationTime),
			null, o.NarSize, null, null, null)
	})
	byPath := w.index(len(infos), func(i int) []byte { return record(string(infos[i].Path), int64(i)+1) })
	sequence := w.table(min(1, len(infos)), func(int) []byte { return record("ValidPaths", int64(len(infos))) })

	all := w.table(len(refs), func(i int) []byte { return record(refs[i].referrer, refs[i].reference) })
	byBoth := w.index(len(refs), func(i int) []byte { return record(refs[i].referrer, refs[i].reference, int64(i)+1) })
	byReferrer := w.index(len(refs), func(i int) []byte { return record(refs[i].referrer, int64(i)+1) })
	order := make([]int, len(refs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(refs[a].reference, refs[b].reference) })
	byReference := w.index(len(refs), func(i int) []byte { return record(refs[order[i]].reference, int64(order[i])+1) })

	none := func(int) []byte { return nil }
	outputs, byDrv, byOutput := w.table(0, none), w.index(0, none), w.index(0, none)

	schema := []struct {
		kind, name, table string
		root              int64
		sql               any
	}{
		{"table", "ValidPaths", "ValidPaths", paths, createValidPaths},
		{"index", "sqlite_autoindex_ValidPaths_1", "ValidPaths", byPath, null},
		{"table", "sqlite_sequence", "sqlite_sequence", sequence, createSequence},
		{"table", "Refs", "Refs", all, createRefs},
		{"index", "sqlite_autoindex_Refs_1", "Refs", byBoth, null},
		{"index", "IndexReferrer", "Refs", byReferrer, createIndexReferrer},
		{"index", "IndexReference", "Refs", byReference, createIndexReference},
		{"trigger", "DeleteSelfRefs", "ValidPaths", 0, createDeleteSelfRefs},
		{"table", "DerivationOutputs", "DerivationOutputs", outputs, createDerivationOutputs},
		{"index", "sqlite_autoindex_DerivationOutputs_1", "DerivationOutputs", byDrv, null},
		{"index", "IndexDerivationOutputs", "DerivationOutputs", byOutput, createIndexDerivationOutputs},
	}
	return w.finish(len(schema), func(i int) []byte {
		s := schema[i]
		return record(s.kind, s.name, s.table, s.root, s.sql)
	})
}
