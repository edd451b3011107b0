package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// Table is a table with row ids.
type Table struct {
	Name    string
	columns []string
	root    uint32
	file    *File
}

// Table finds a table by its name, ignoring case. The error wraps [fs.ErrNotExist] if no table or view has the name.
func (f *File) Table(ctx context.Context, name string) (*Table, error) {
	var t *Table
	// The columns of the schema table are type, name, table, root page and SQL; see [Definition].
	err := f.scan(ctx, 1, func(r *Row) error {
		kind := string(r.Text(0))
		if kind != "table" && kind != "view" || !strings.EqualFold(string(r.Text(1)), name) {
			return nil
		}
		root, _ := r.Int(3)
		if kind == "view" || root == 0 {
			return fmt.Errorf("%q is not a table", name)
		}
		if t != nil || root < 0 || root > int64(f.pages) {
			return damaged("table %q exists twice, or has root page %d", name, root)
		}
		t = &Table{Name: name, columns: columns(string(r.Text(4))), root: uint32(root), file: f}
		return nil
	})
	if err == nil && t == nil {
		err = fmt.Errorf("table %q: %w", name, fs.ErrNotExist)
	}
	return t, err
}

// NoColumn is the number of a missing column. [Row.Int] and [Row.Text] find nothing in it.
const NoColumn = -1

// Column returns the number of a column for [Row.Int] and [Row.Text], or [NoColumn] if no column has the name.
// An integer primary key is stored as [Row.ID]: its column holds null.
func (t *Table) Column(name string) int {
	for i, c := range t.columns {
		if strings.EqualFold(c, name) {
			return i
		}
	}
	return NoColumn
}

// Scan calls do with each row, by ascending id, until do fails. The row is valid until do returns.
func (t *Table) Scan(ctx context.Context, do func(*Row) error) error {
	return t.file.scan(ctx, t.root, do)
}

// columns returns the names of the columns that a CREATE TABLE statement declares: the first word after each comma.
// It takes table constraints for columns, too. They come last, so they change no column's number.
func columns(sql string) []string {
	var names []string
	depth, named := 0, false
	for len(sql) > 0 {
		word, isName, rest := token(sql)
		sql = rest
		switch {
		case isName && depth == 1 && !named:
			names, named = append(names, word), true
		case isName:
		case word == "(":
			depth++
		case word == ")":
			depth--
		case word == "," && depth == 1:
			named = false
		}
	}
	return names
}

// token cuts the next word, quoted or not, or punctuation off sql. Spaces and comments count as punctuation.
func token(sql string) (word string, isName bool, rest string) {
	switch c := sql[0]; {
	case strings.HasPrefix(sql, "--"):
		_, rest, _ = strings.Cut(sql, "\n")
		return "", false, rest
	case strings.HasPrefix(sql, "/*"):
		_, rest, _ = strings.Cut(sql[2:], "*/")
		return "", false, rest
	case c == '[':
		word, rest, _ = strings.Cut(sql[1:], "]")
		return word, true, rest
	case c == '"' || c == '\'' || c == '`':
		word, rest = quoted(sql)
		return word, true, rest
	case !isWord(c):
		return sql[:1], false, sql[1:]
	}
	end := 1
	for end < len(sql) && isWord(sql[end]) {
		end++
	}
	return sql[:end], true, sql[end:]
}

// quoted cuts off a name between quotes. A quote inside the name is doubled.
func quoted(sql string) (word, rest string) {
	quote, rest := sql[:1], sql[1:]
	var name strings.Builder
	for {
		part, after, found := strings.Cut(rest, quote)
		name.WriteString(part)
		if !found || !strings.HasPrefix(after, quote) {
			return name.String(), after
		}
		name.WriteString(quote)
		rest = after[1:]
	}
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
