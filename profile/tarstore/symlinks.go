package tarstore

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/export-profile/export-profile/profile"
)

// maxLinks limits the links in one path, as Linux does.
const maxLinks = 40

// Readlink reads a symbolic link at an absolute path below the archived root.
// It follows links in parent directories; they cannot lead out of the archive.
func (s *Store) Readlink(name string) (string, error) {
	name = path.Clean("/" + name)
	if s.root == none {
		return "", s.linkError(name, fs.ErrNotExist)
	}
	i, err := s.resolve(path.Dir(name))
	if err != nil {
		return "", s.linkError(name, err)
	}
	if name != "/" {
		i = s.tree.child(i, path.Base(name))
	}
	switch {
	case i == none:
		return "", s.linkError(name, fs.ErrNotExist)
	case s.tree.nodes[i].kind != link:
		return "", s.linkError(name, profile.ErrNoLink)
	}
	return s.tree.nodes[i].target, nil
}

func (s *Store) linkError(name string, err error) error {
	return fmt.Errorf("%q in the tar: %w", name, err)
}

// resolve finds the node at an absolute path, following all links in it.
// Files that are not directories have no children.
func (s *Store) resolve(name string) (id, error) {
	t := s.tree
	at, links := s.root, 0
	for rest := name; rest != ""; {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		if elem == "" || elem == "." {
			continue
		}
		if elem == ".." {
			if at != s.root {
				at = t.nodes[at].parent
			}
			continue
		}
		next := t.child(at, elem)
		if next == none {
			return none, fs.ErrNotExist
		}
		n := &t.nodes[next]
		if n.kind != link {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return none, syscall.ELOOP
		}
		if path.IsAbs(n.target) {
			at = s.root
		}
		rest = n.target + "/" + rest
	}
	return at, nil
}

// Inside returns false: no path on this machine lies in an archive.
func (s *Store) Inside(string) (string, bool) { return "", false }
