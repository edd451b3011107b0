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

// Table finds a table, whatever the case of its name. The error wraps [fs.ErrNotExist] if there is nothing of that name.
func (f *File) Table(ctx context.Context, name string) (*Table, error) {
	var t *Table
	// The table of tables: type, name, the table it belongs to, its first page, and the SQL that made it.
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
			return damaged("table %q is there twice, or nowhere", name)
		}
		t = &Table{Name: name, columns: columns(string(r.Text(4))), root: uint32(root), file: f}
		return nil
	})
	if err == nil && t == nil {
		err = fmt.Errorf("table %q: %w", name, fs.ErrNotExist)
	}
	return t, err
}

// NoColumn is the number of a column that is not there. No row has anything in it.
const NoColumn = -1

// Column is the number of a column for [Row.Int] and [Row.Text], and [NoColumn] if there is none of that name.
// The column that is the row id itself has no value in its rows.
func (t *Table) Column(name string) int {
	for i, c := range t.columns {
		if strings.EqualFold(c, name) {
			return i
		}
	}
	return NoColumn
}

// Scan calls do with all rows, by ascending id, until it fails. A row lasts until do returns.
func (t *Table) Scan(ctx context.Context, do func(*Row) error) error {
	return t.file.scan(ctx, t.root, do)
}

// columns are the names of the columns in what made a table: the first words between its commas.
// A constraint of the table comes after all columns, and is no name that anybody asks for.
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

// token cuts off the next word, quoted or not, or sign. Space and comments are signs of no meaning.
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

// quoted cuts off a name between quotes, which are doubled in it.
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
