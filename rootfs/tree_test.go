package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

// Trees are written in tests as they are listed: one line an entry,
//
//	d MODE PATH
//	f MODE PATH CONTENT
//	l PATH -> TARGET
//
// with the strings quoted as in Go where they need it.

// parseEntry parses one line.
func parseEntry(line string) (Entry, error) {
	fields := strings.SplitN(line, " ", 2)
	if len(fields) < 2 {
		return Entry{}, fmt.Errorf("line %q: too short", line)
	}
	if fields[0] == "l" {
		path, target, ok := strings.Cut(fields[1], " -> ")
		if !ok {
			return Entry{}, fmt.Errorf("line %q: no target", line)
		}
		return Link(unquote(path), unquote(target)), nil
	}
	mode, rest, _ := strings.Cut(fields[1], " ")
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return Entry{}, fmt.Errorf("line %q: %v", line, err)
	}
	perm := fs.FileMode(bits & 0o777)
	if bits&0o1000 != 0 {
		perm |= fs.ModeSticky
	}
	if fields[0] == "d" {
		return Dir(unquote(rest), perm), nil
	}
	path, content, _ := strings.Cut(rest, " ")
	content = unquote(content)
	return File(unquote(path), perm, int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}), nil
}

func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}

func quote(s string) string {
	if q := strconv.QuoteToASCII(s); q != `"`+s+`"` || strings.ContainsAny(s, " ") || s == "" {
		return q
	}
	return s
}

// tree makes a Tree of lines. A line "! MESSAGE" is an error.
func tree(t *testing.T, lines ...string) Tree {
	t.Helper()
	type item struct {
		e   Entry
		err error
	}
	var items []item
	for _, line := range lines {
		if msg, ok := strings.CutPrefix(line, "! "); ok {
			items = append(items, item{err: errors.New(msg)})
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{e: e})
	}
	return func(yield func(Entry, error) bool) {
		for _, i := range items {
			if !yield(i.e, i.err) {
				return
			}
		}
	}
}

// list is the inverse of tree; owners other than 0:0 are put behind.
func list(tree Tree) ([]string, error) {
	var lines []string
	for e, err := range tree {
		if err != nil {
			return lines, err
		}
		bits := uint32(e.Mode.Perm())
		if e.Mode&fs.ModeSticky != 0 {
			bits |= 0o1000
		}
		var line string
		switch {
		case e.IsDir():
			line = fmt.Sprintf("d %04o %s", bits, quote(e.Path))
		case e.IsLink():
			line = fmt.Sprintf("l %s -> %s", quote(e.Path), quote(e.Target))
		default:
			r, err := e.Open()
			if err != nil {
				return lines, err
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				return lines, err
			}
			if int64(len(b)) != e.Size {
				return lines, fmt.Errorf("%q: %d bytes, want %d", e.Path, len(b), e.Size)
			}
			line = fmt.Sprintf("f %04o %s %s", bits, quote(e.Path), quote(string(b)))
		}
		if e.UID != 0 || e.GID != 0 {
			line += fmt.Sprintf(" %d:%d", e.UID, e.GID)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// parts groups the lines of a store into parts, by the root nix/store/NAME.
func parts(t *testing.T, lines []string) []Part {
	t.Helper()
	var roots []string
	byRoot := make(map[string][]string)
	for _, line := range lines {
		e, err := parseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		elements := strings.SplitN(e.Path, "/", 4)
		if len(elements) < 3 {
			t.Fatalf("line %q: not in a store object", line)
		}
		root := strings.Join(elements[:3], "/")
		if byRoot[root] == nil {
			roots = append(roots, root)
		}
		byRoot[root] = append(byRoot[root], line)
	}
	var all []Part
	for _, root := range roots {
		all = append(all, Part{Name: root[len("nix/store/"):], Root: root, Tree: tree(t, byRoot[root]...)})
	}
	return all
}
