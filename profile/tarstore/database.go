package tarstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/export-profile/export-profile/profile"
)

// databaseFiles lists the files needed to read Nix's database, with its log or an unfinished transaction.
// Other files in the directory matter only to processes that have the database open.
var databaseFiles = []string{"db.sqlite", "db.sqlite-wal", "db.sqlite-journal", "schema"}

// Database copies the database of the archived root to an existing directory, and returns the name of the copy.
// The error wraps fs.ErrNotExist if the archive has no database.
// The copy may be inconsistent if Nix wrote to the database while the archive was written.
func (s *Store) Database(dir string) (string, error) {
	name := filepath.Join(dir, databaseFiles[0])
	if err := s.copyDatabase(dir); err != nil {
		return "", fmt.Errorf("database in the tar: %w", err)
	}
	return name, nil
}

func (s *Store) copyDatabase(dir string) error {
	if s.root == none {
		return fs.ErrNotExist
	}
	from, err := s.resolve(profile.StateDir(s.dir) + "/db")
	if err != nil {
		return err
	}
	for _, name := range databaseFiles {
		i := s.child(from, name)
		if i == none {
			if name == databaseFiles[0] {
				return fs.ErrNotExist
			}
			continue
		}
		n := s.tree.nodes[i]
		if n.kind != file {
			return fmt.Errorf("%q is a %s", name, n.kind)
		}
		if err := s.copyOut(filepath.Join(dir, name), n); err != nil {
			return err
		}
	}
	return nil
}

// copyOut writes a file's content to a new file.
// It sets an old time, since package localstore waits while a database was modified just now.
func (s *Store) copyOut(name string, n node) (err error) {
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, err := io.Copy(w, content(s.in, n)); err != nil {
		return err
	}
	old := time.Unix(1, 0)
	return os.Chtimes(name, old, old)
}
