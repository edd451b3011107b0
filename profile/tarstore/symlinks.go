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
		i = s.child(i, path.Base(name))
	}
	switch {
	case i == none:
		return "", s.linkError(name, fs.ErrNotExist)
	case i <= outer, s.tree.nodes[i].kind != link:
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
			at = s.parent(at)
			continue
		}
		next := s.child(at, elem)
		if next == none {
			return none, fs.ErrNotExist
		}
		if next <= outer || t.nodes[next].kind != link {
			at = next
			continue
		}
		n := &t.nodes[next]
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

// child returns the file called name in a directory of the archived root, or none.
func (s *Store) child(dir id, name string) id {
	if dir > outer {
		if len(s.around) > 0 && dir == s.nix && name == s.around[len(s.around)-1] {
			return s.store
		}
		return s.tree.child(dir, name)
	}
	switch depth := int(outer - dir); {
	case name != s.around[depth]:
		return none
	case depth < len(s.around)-2:
		return dir - 1
	}
	return s.nix
}

// parent returns the directory around another one of the archived root. The root is its own parent.
func (s *Store) parent(dir id) id {
	switch {
	case dir == s.root:
		return dir
	case dir < outer:
		return dir + 1
	case s.root == outer && dir == s.nix:
		return outer - id(len(s.around)-2)
	}
	return s.tree.nodes[dir].parent
}

// Inside returns false: no path on this machine lies in an archive.
func (s *Store) Inside(string) (string, bool) { return "", false }
