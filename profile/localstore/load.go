package localstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

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
	if err := s.loadObjects(ctx, db, signatures); err != nil {
		return nil, err
	}
	return s, s.loadRefs(ctx, db, 8*rows)
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

// loadRefs reads Refs, whose rows are in the order in which Nix added them.
// It ignores rows with an unknown referrer, since no object needs them. It expects some number of rows.
func (s *snapshot) loadRefs(ctx context.Context, db *sqlite.File, expected int) error {
	t, err := table(ctx, db, "Refs", "referrer", "reference")
	if err != nil {
		return err
	}
	referrer, reference := t.Column("referrer"), t.Column("reference")
	refs := make([]ref, 0, expected)
	err = t.Scan(ctx, func(row *sqlite.Row) error {
		id, ok := row.Int(referrer)
		from, found := s.byID(id)
		if !ok || !found {
			return nil
		}
		if len(refs) == maxReferences {
			return fmt.Errorf("more than %d references", maxReferences)
		}
		id, _ = row.Int(reference)
		to, found := s.byID(id)
		if !found {
			to = ^int32(len(s.missing))
			s.missing = append(s.missing, id)
		}
		refs = append(refs, ref{from, to})
		return nil
	})
	s.setRefs(refs)
	return err
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
