package localstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
)

// Open opens the store of a root directory and reads its database.
// The error wraps [ErrNoDatabase] if there is none.
func Open(ctx context.Context, dir string, o Options) (*Store, error) {
	s, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", dir, err)
	}
	return s, nil
}

func open(ctx context.Context, dir string, o Options) (_ *Store, err error) {
	store := ""
	if o.Nix {
		store = o.StoreDir.String()
	}
	r, err := openRoot(dir, store)
	if err != nil {
		return nil, err
	}
	s := &Store{root: r, dir: o.StoreDir, verify: o.Verify || r.relocated(), names: &casehack.Restorer{Hash: o.Hash, Note: o.Note}}
	s.present = sync.OnceValue(s.list)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if !o.NoDatabase {
		databasePath := profile.StateDir(s.dir) + databaseFile
		place, err := r.resolve(databasePath)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w at %q: %w", ErrNoDatabase, r.hostPath(databasePath), fs.ErrNotExist)
		}
		if err != nil {
			return nil, fmt.Errorf("find database: %w", err)
		}
		if err := s.readDatabase(ctx, r.hostPath(place), o); err != nil {
			return nil, err
		}
		if o.Nix {
			r.setStore(s.dir.String())
		} else if s.dir != o.StoreDir {
			return nil, &OtherDirError{s.dir, o.StoreDir}
		}
	}
	place, err := r.resolve(s.dir.String())
	if err != nil {
		return nil, fmt.Errorf("find store directory: %w", err)
	}
	if s.storeDir, err = r.openDir(place); err != nil {
		return nil, fmt.Errorf("open store directory: %w", r.named(place, err))
	}
	return s, nil
}

// readDatabase reads the database in a file.
func (s *Store) readDatabase(ctx context.Context, file string, o Options) (err error) {
	d := database{path: file, signatures: o.Signatures, maxWait: cmp.Or(o.maxWait, maxWait)}
	if s.db, err = d.read(ctx); err != nil {
		return fmt.Errorf("read database %q: %w", d.path, err)
	}
	if s.db.dir != nil {
		s.dir = *s.db.dir
	}
	s.names.Hash = s.db.hash
	return nil
}

// OpenParts opens a store whose store directory and state directory are at any places.
// The state directory is what /nix/var/nix is in another store. The store has no links around it.
func OpenParts(ctx context.Context, storeDir, stateDir string, o Options) (_ *Store, err error) {
	s, err := OpenObjects(storeDir, o)
	if err != nil {
		return nil, err
	}
	s.verify = true
	file, err := filepath.EvalSymlinks(filepath.Join(stateDir, databaseFile))
	if err == nil {
		file, err = filepath.Abs(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w in %q: %w", ErrNoDatabase, stateDir, err)
	}
	if err == nil {
		err = s.readDatabase(ctx, file, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %q: %w", storeDir, err), s.Close())
	}
	return s, nil
}

// databaseFile is where Nix and Guix keep the database in its state directory.
const databaseFile = "/db/db.sqlite"
