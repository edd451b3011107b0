package localstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/export-profile/export-profile/profile"
)

// maxText bounds what one value of a row may take; a store path has at most 255 bytes.
const maxText = 1 << 20

// load reads the tables of a database that holds still.
// With immutable set SQLite takes that for granted: it looks at no other file, locks nothing and creates nothing.
// Otherwise it applies the log beside the file, for which it makes an index next to them.
func load(ctx context.Context, file string, immutable, signatures bool) (_ *snapshot, err error) {
	uri := url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro"}
	if immutable {
		uri.RawQuery = "immutable=1"
	}
	conn, err := sqlite.OpenConn(uri.String(), sqlite.OpenReadOnly|sqlite.OpenURI)
	if err != nil {
		return nil, sqliteError(ctx, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx.Done())
	conn.SetBusyTimeout(time.Second) // there is nobody to wait for
	conn.Limit(sqlite.LimitLength, maxText)

	s := &snapshot{byPath: make(map[profile.Path]int32)}
	vouchers := "null, null"
	if signatures {
		if vouchers, err = voucherColumns(conn); err != nil {
			return nil, sqliteError(ctx, err)
		}
	}
	for _, step := range []struct {
		query string
		row   func(*sqlite.Stmt) error
	}{
		// The schema of a copy from somewhere may contain anything, but not call it.
		{`pragma trusted_schema = off`, nil},
		// Tables are read once from one end to the other: more pages would only be more memory.
		{`pragma cache_size = 32`, nil},
		// One transaction, one snapshot.
		{`begin`, nil},
		{`select page_count * page_size from pragma_page_count, pragma_page_size`, s.bytesRow},
		{`select name from sqlite_schema where name in ('ValidPaths', 'Refs') and (type <> 'table' or rootpage = 0)`, refuseTable},
		{`select id, path, hash, narSize, deriver, ` + vouchers + ` from ValidPaths order by id`, s.objectRow},
		{`select referrer, reference from Refs order by referrer`, s.refRows()},
	} {
		if err := each(conn, step.query, step.row); err != nil {
			return nil, sqliteError(ctx, err)
		}
	}
	return s, nil
}

func each(conn *sqlite.Conn, query string, row func(*sqlite.Stmt) error) error {
	stmt, err := conn.Prepare(query)
	if err != nil {
		return err
	}
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return err
		}
		if row == nil {
			continue
		}
		if err := row(stmt); err != nil {
			return errors.Join(err, stmt.Reset())
		}
	}
}

// voucherColumns are those of signatures and content addresses, which older versions of the schema do not have.
func voucherColumns(conn *sqlite.Conn) (string, error) {
	columns := map[string]string{"sigs": "null", "ca": "null"}
	err := each(conn, `select name from pragma_table_info('ValidPaths')`, func(row *sqlite.Stmt) error {
		if name := row.ColumnText(0); columns[name] != "" {
			columns[name] = name
		}
		return nil
	})
	return columns["sigs"] + ", " + columns["ca"], err
}

func (s *snapshot) bytesRow(row *sqlite.Stmt) error {
	s.left = row.ColumnInt64(0)
	return nil
}

func refuseTable(row *sqlite.Stmt) error {
	return fmt.Errorf("%s is not a table", row.ColumnText(0))
}

func (s *snapshot) objectRow(row *sqlite.Stmt) error {
	o := object{
		id:      row.ColumnInt64(0),
		hash:    row.ColumnText(2),
		size:    row.ColumnInt64(3),
		deriver: row.ColumnText(4),
		sigs:    row.ColumnText(5),
		ca:      row.ColumnText(6),
	}
	path := row.ColumnText(1)
	if err := s.spend(len(path) + len(o.hash) + len(o.deriver) + len(o.sigs) + len(o.ca)); err != nil {
		return err
	}
	if len(s.objects) == maxObjects {
		return fmt.Errorf("more than %d objects", maxObjects)
	}
	if o.path, o.invalid = profile.ParsePath(path); o.invalid != nil && !strings.HasPrefix(path, profile.StoreDir+"/") {
		return o.invalid // the database of another store directory
	}
	return s.add(o)
}

// refBytes is the least that a row of Refs takes in a page: a pointer to it, its length, and what its columns are.
const refBytes = 6

// refRows collects references. Rows come by ascending referrer.
func (s *snapshot) refRows() func(*sqlite.Stmt) error {
	var o *object
	var last int64
	return func(row *sqlite.Stmt) error {
		id := row.ColumnInt64(0)
		switch {
		case o == nil || id > last:
			// A referrer that is not there makes no difference: nobody can ask for it.
			if o = s.byID(id); o == nil {
				o = &object{}
			}
			o.from, last = len(s.refs), id
		case id < last:
			return fmt.Errorf("damaged: references of object %d follow those of object %d", id, last)
		}
		if err := s.spend(refBytes); err != nil {
			return err
		}
		if len(s.refs) == maxReferences {
			return fmt.Errorf("more than %d references", maxReferences)
		}
		s.refs = append(s.refs, row.ColumnInt64(1))
		o.to = len(s.refs)
		return nil
	}
}

// sqliteError says in the words of a user what SQLite found.
func sqliteError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch code := sqlite.ErrCode(err).ToPrimary(); code {
	case sqlite.ResultNotADB:
		return errors.New("not an SQLite database")
	case sqlite.ResultCorrupt:
		return fmt.Errorf("damaged: %s", code.Message())
	}
	// Which query it was makes no difference.
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}
