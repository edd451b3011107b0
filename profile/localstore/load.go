package localstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/sqlite"
)

// load reads the tables of a database that does not change, including its log if withLog is set.
func load(ctx context.Context, name string, withLog, signatures bool) (*snapshot, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var log io.ReaderAt
	if withLog {
		l, err := openFile(name + "-wal")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		log = l
	}
	db, err := sqlite.Open(ctx, f, fi.Size(), log)
	if err != nil {
		return nil, err
	}
	// Grow no slice from nothing: a row of ValidPaths has some 200 bytes with its index, and its references have as many.
	rows := int(min(fi.Size()/512, 1<<16))
	s := &snapshot{objects: make([]object, 0, rows), ids: make([]int64, 0, rows)}
	var refs []refRow
	var refsErr error
	var group sync.WaitGroup
	group.Go(func() { refs, refsErr = readRefs(ctx, db, 8*rows) })
	err = s.loadObjects(ctx, db, signatures)
	group.Wait()
	if err = cmp.Or(err, refsErr); err != nil { // always the same one of both
		return nil, err
	}
	s.addRefs(refs)
	return s, nil
}

// loadObjects reads ValidPaths. Older versions of the schema have no signatures and content addresses.
func (s *snapshot) loadObjects(ctx context.Context, db *sqlite.File, signatures bool) error {
	t, err := table(ctx, db, "ValidPaths", "id", "path", "hash", "narSize")
	if err != nil {
		return err
	}
	id, path, hash, size, deriver := t.Column("id"), t.Column("path"), t.Column("hash"), t.Column("narSize"), t.Column("deriver")
	sigs, ca := sqlite.NoColumn, sqlite.NoColumn
	if signatures {
		sigs, ca = t.Column("sigs"), t.Column("ca")
	}
	texts := []int{path, hash, deriver, sigs, ca}
	var all []byte
	err = t.Scan(ctx, func(row *sqlite.Row) error {
		if len(s.objects) == maxObjects {
			return fmt.Errorf("more than %d objects", maxObjects)
		}
		all = all[:0]
		for _, column := range texts {
			all = append(all, row.Text(column)...)
		}
		rest := string(all) // one allocation for all five texts
		next := func(column int) (text string) {
			n := len(row.Text(column))
			text, rest = rest[:n], rest[n:]
			return text
		}
		path := next(path)
		o := object{hash: next(hash), deriver: next(deriver), sigs: next(sigs), ca: next(ca)}
		o.size, _ = row.Int(size)
		o.path, o.invalid = profile.ParsePath(path)
		if err := s.checkDir(path, o); err != nil {
			return err
		}
		if o.invalid == nil {
			o.key = binary.BigEndian.Uint64([]byte(o.path.Digest()))
		}
		id, ok := row.Int(id)
		if !ok {
			id = row.ID // the column is an alias of the row ID
		}
		return s.add(id, o)
	})
	if err != nil {
		return err
	}
	return s.index()
}

// checkDir returns an error if a row is of another store directory than those before.
func (s *snapshot) checkDir(path string, o object) error {
	switch {
	case o.invalid == nil && s.dir == nil:
		dir := o.path.StoreDir()
		s.dir = &dir
	case o.invalid == nil:
		return o.path.CheckIn(*s.dir)
	case s.dir != nil && !strings.HasPrefix(path, s.dir.String()+"/"):
		return o.invalid
	}
	return nil
}

// refRow is a row of Refs: the ids of two objects.
type refRow struct{ referrer, reference int64 }

// readRefs reads Refs, whose rows are in the order in which Nix added them. It expects some number of rows.
func readRefs(ctx context.Context, db *sqlite.File, expected int) ([]refRow, error) {
	t, err := table(ctx, db, "Refs", "referrer", "reference")
	if err != nil {
		return nil, err
	}
	referrer, reference := t.Column("referrer"), t.Column("reference")
	rows := make([]refRow, 0, expected)
	err = t.Scan(ctx, func(row *sqlite.Row) error {
		from, ok := row.Int(referrer)
		if !ok {
			return nil
		}
		if len(rows) == maxReferences {
			return fmt.Errorf("more than %d references", maxReferences)
		}
		to, _ := row.Int(reference)
		rows = append(rows, refRow{from, to})
		return nil
	})
	return rows, err
}

// addRefs adds references between the objects. It ignores those of unknown objects, since no object needs them.
func (s *snapshot) addRefs(rows []refRow) {
	refs := make([]ref, 0, len(rows))
	for _, row := range rows {
		from, found := s.byID(row.referrer)
		if !found {
			continue
		}
		to, found := s.byID(row.reference)
		if !found {
			to = ^int32(len(s.missing))
			s.missing = append(s.missing, row.reference)
		}
		refs = append(refs, ref{from, to})
	}
	s.setRefs(refs)
}

// table finds a table that has the given columns.
func table(ctx context.Context, db *sqlite.File, name string, columns ...string) (*sqlite.Table, error) {
	t, err := db.Table(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		// Don't wrap fs.ErrNotExist: the database exists.
		return nil, fmt.Errorf("has no table %q", name)
	}
	if err != nil {
		return nil, err
	}
	for _, column := range columns {
		if t.Column(column) == sqlite.NoColumn {
			return nil, fmt.Errorf("table %q has no column %q", name, column)
		}
	}
	return t, nil
}
