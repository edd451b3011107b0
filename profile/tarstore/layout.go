package tarstore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/scan"
)

// findStore finds the root and store directories in the archive.
func (s *Store) findStore(dirs []profile.StoreDir) (err error) {
	t := s.tree
	s.root = root
	if s.store, s.dir, err = s.storeBelow(root, dirs); s.store == none && err == nil {
		roots, stores := s.search(dirs)
		switch {
		case len(roots) == 1:
			s.root = roots[0]
			s.store, s.dir, err = s.storeBelow(s.root, dirs)
		case len(roots) > 1:
			return &FormatError{Is: "a tar archive with several stores, in " + s.list(roots)}
		case len(stores) == 1:
			s.root, s.store = none, stores[0]
			if nix := t.nodes[s.store].parent; t.nodes[s.store].name == "store" && t.descend(nix, "var/nix/db") != none {
				s.enclose(nix)
			}
		case len(stores) > 1:
			return &FormatError{Is: "a tar archive with store objects in several directories, " + s.list(stores)}
		default:
			return s.guess()
		}
	}
	if err != nil {
		return err
	}
	s.listObjects()
	return nil
}

// enclose makes a directory of the archive what is around the store directory, with nothing beside it.
func (s *Store) enclose(nix id) {
	s.root, s.nix, s.around = outer, nix, strings.Split(s.dir.Root(), "/")
	if len(s.around) == 1 {
		s.root = nix
	}
}

// Move sets the store directory to the one that the archive's database names, if its place does not say it.
// Nix puts its files into nix of another root, whatever its store directory is.
func (s *Store) Move(dir profile.StoreDir) {
	s.dir = dir
	if rest, ok := strings.CutSuffix("/"+s.tree.path(s.store), dir.String()); ok {
		s.root, s.around = s.tree.descend(root, strings.TrimPrefix(rest, "/")), nil
	} else {
		s.enclose(s.tree.nodes[s.store].parent)
	}
	s.listObjects()
}

// listObjects finds the objects in the store directory.
func (s *Store) listObjects() {
	t := s.tree
	children := t.children(s.store)
	names := make([]string, len(children))
	for i, c := range children {
		names[i] = t.nodes[c].name
	}
	s.paths = scan.Candidates(s.dir, names, func(name string) bool {
		n := t.nodes[t.child(s.store, name)]
		return n.kind == file && n.size <= 1
	})
	slices.Sort(s.paths)
}

// storeBelow returns the store directory below a directory. If there are several, those without objects do not count.
func (s *Store) storeBelow(at id, dirs []profile.StoreDir) (id, profile.StoreDir, error) {
	var found, full []profile.StoreDir
	for _, dir := range dirs {
		n := s.tree.descend(at, dir.Root())
		if n == none || s.tree.nodes[n].kind != directory {
			continue
		}
		found = append(found, dir)
		if s.hasObjects(n) {
			full = append(full, dir)
		}
	}
	switch {
	case len(found) == 0:
		return none, dirs[0], nil
	case len(full) > 1:
		return none, dirs[0], &profile.StoresError{Dirs: full}
	case len(full) == 1:
		found = full
	}
	return s.tree.descend(at, found[0].Root()), found[0], nil
}

func (s *Store) hasObjects(dir id) bool {
	return slices.ContainsFunc(s.tree.children(dir), func(c id) bool { return profile.CheckBase(s.tree.nodes[c].name) == nil })
}

// search finds all directories that contain a store directory, and all that contain objects. It does not descend into objects.
func (s *Store) search(dirs []profile.StoreDir) (roots, stores []id) {
	t := s.tree
	for todo := []id{root}; len(todo) > 0; {
		dir := todo[0]
		todo = todo[1:]
		if n, _, err := s.storeBelow(dir, dirs); n != none || err != nil {
			roots = append(roots, dir)
		}
		objects := false
		for _, c := range t.children(dir) {
			if profile.CheckBase(t.nodes[c].name) == nil {
				objects = true
			} else if t.nodes[c].kind == directory {
				todo = append(todo, c)
			}
		}
		if objects {
			stores = append(stores, dir)
		}
	}
	return roots, stores
}

// list formats the names of the first few directories.
func (s *Store) list(dirs []id) string {
	const few = 4
	var names []string
	for _, d := range dirs[:min(few, len(dirs))] {
		names = append(names, fmt.Sprintf("%q", "/"+s.tree.path(d)))
	}
	if more := len(dirs) - few; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// guess describes a tar without a store.
func (s *Store) guess() *FormatError {
	for _, name := range []string{"oci-layout", "manifest.json"} {
		if n := s.tree.child(root, name); n != none && s.tree.nodes[n].kind == file {
			return &FormatError{Is: "a container image, whose layers are archives themselves", IsImage: true}
		}
	}
	return &FormatError{Is: "a tar archive without a store in it"}
}
