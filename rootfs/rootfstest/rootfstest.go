// Package rootfstest spells trees as text, for tests. Each entry is a line:
//
//	d MODE PATH
//	f MODE PATH CONTENT
//	l PATH -> TARGET
//
// Paths, targets and contents are quoted as in Go if they need it.
package rootfstest

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
)

// ParseEntry parses one line.
func ParseEntry(line string) (rootfs.Entry, error) {
	kind, rest, ok := strings.Cut(line, " ")
	if !ok {
		return rootfs.Entry{}, fmt.Errorf("line %q: too short", line)
	}
	if kind == "l" {
		path, target, ok := strings.Cut(rest, " -> ")
		if !ok {
			return rootfs.Entry{}, fmt.Errorf("line %q: no target", line)
		}
		return rootfs.Link(Unquote(path), Unquote(target)), nil
	}
	mode, rest, _ := strings.Cut(rest, " ")
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return rootfs.Entry{}, fmt.Errorf("line %q: %v", line, err)
	}
	perm := rootfs.FileMode(uint32(bits) & 0o1777)
	if kind == "d" {
		return rootfs.Dir(Unquote(rest), perm), nil
	}
	path, content, _ := strings.Cut(rest, " ")
	content = Unquote(content)
	return rootfs.File(Unquote(path), perm, int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}), nil
}

// Unquote removes the quotes of a quoted string.
func Unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}

// Quote quotes a string if it needs it.
func Quote(s string) string {
	if q := strconv.QuoteToASCII(s); q != `"`+s+`"` || strings.Contains(s, " ") || s == "" {
		return q
	}
	return s
}

// Tree returns the tree that the lines spell. A line "! MESSAGE" is an error.
func Tree(t testing.TB, lines ...string) rootfs.Tree {
	t.Helper()
	type item struct {
		e   rootfs.Entry
		err error
	}
	var items []item
	for _, line := range lines {
		if msg, ok := strings.CutPrefix(line, "! "); ok {
			items = append(items, item{err: errors.New(msg)})
			continue
		}
		e, err := ParseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{e: e})
	}
	return func(yield func(rootfs.Entry, error) bool) {
		for _, i := range items {
			if !yield(i.e, i.err) {
				return
			}
		}
	}
}

// Lines spells a tree, up to its first error. An owner other than 0:0 follows at the end of a line.
func Lines(tree rootfs.Tree) ([]string, error) {
	var lines []string
	for e, err := range tree {
		if err != nil {
			return lines, err
		}
		bits := rootfs.UnixMode(e.Mode) & 0o1777
		var line string
		switch {
		case e.IsDir():
			line = fmt.Sprintf("d %04o %s", bits, Quote(e.Path))
		case e.IsLink():
			line = fmt.Sprintf("l %s -> %s", Quote(e.Path), Quote(e.Target))
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
			line = fmt.Sprintf("f %04o %s %s", bits, Quote(e.Path), Quote(string(b)))
		}
		if e.UID != 0 || e.GID != 0 {
			line += fmt.Sprintf(" %d:%d", e.UID, e.GID)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Parts groups the lines of a store into parts, one for each nix/store/NAME or other object in a directory called store.
func Parts(t testing.TB, lines ...string) []rootfs.Part {
	t.Helper()
	var roots []string
	byRoot := make(map[string][]string)
	for _, line := range lines {
		e, err := ParseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		dir, object, ok := strings.Cut(e.Path, "/store/")
		if !ok {
			t.Fatalf("line %q: not in a store object", line)
		}
		name, _, _ := strings.Cut(object, "/")
		root := dir + "/store/" + name
		if byRoot[root] == nil {
			roots = append(roots, root)
		}
		byRoot[root] = append(byRoot[root], line)
	}
	var all []rootfs.Part
	for _, root := range roots {
		all = append(all, rootfs.Part{Name: path.Base(root), Root: root, Tree: Tree(t, byRoot[root]...)})
	}
	return all
}

// Counts is how often parts were read.
type Counts struct {
	Walks int // of trees
	Opens int // of files
}

// CountedParts is like Parts, but each part has a key, and each walk and each open adds to n.
func CountedParts(t testing.TB, n *Counts, lines ...string) []rootfs.Part {
	t.Helper()
	all := Parts(t, lines...)
	for i := range all {
		tree := all[i].Tree
		all[i].Key = fmt.Sprintf("sha256:%064x", i+1)
		all[i].Tree = func(yield func(rootfs.Entry, error) bool) {
			n.Walks++
			for e, err := range tree {
				if open := e.Open; open != nil {
					e.Open = func() (io.ReadCloser, error) {
						n.Opens++
						return open()
					}
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
	return all
}

// Lower returns an image with the entries of the lines, put in their order.
func Lower(t testing.TB, lines ...string) *rootfs.Lower {
	t.Helper()
	l := rootfs.NewLower("sha256:test")
	contents := make(map[string]rootfs.Entry)
	l.Read = func(e rootfs.LowerEntry, limit int64) ([]byte, error) {
		if e.Size > limit {
			return nil, errors.New("too large")
		}
		r, err := contents[e.Source].Open()
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	for _, line := range lines {
		e, err := ParseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Path] = e
		if err := l.Put(rootfs.LowerEntry{Entry: e, Source: e.Path}); err != nil {
			t.Fatalf("Put(%s): %v", line, err)
		}
	}
	return l
}
