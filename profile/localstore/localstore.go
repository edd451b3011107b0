// Package localstore reads a store of Nix or Guix in place:
// the files in ROOT/nix/store, and their metadata in the database in ROOT/nix/var/nix/db,
// or those of another store directory, as Guix's in ROOT/gnu/store and ROOT/var/guix/db; see [profile.StateDir].
// ROOT is "/" for the store of this machine, or another directory that holds a copy, a relocated store.
//
// The package promises:
//
//   - It never writes, creates or locks a file in ROOT, as any user.
//     Neither the store nor the database need be writable.
//   - [Open] reads the database once, as of one instant.
//     It never sees half a transaction, and never misses one that is only in the log,
//     even if a program is writing, was killed while writing, or stopped long ago.
//     If it cannot read one instant, the error says why. Type database explains how it works.
//   - Only objects in the database exist. Other files in the store directory are unfinished or garbage.
//   - Files are canonical, as in a NAR: directories 0555, files 0555 if the owner may execute them and 0444 otherwise,
//     all owned by 0:0. Set-user-ID bits, times, extended attributes and hard links have no effect.
//     Files other than directories, regular files and symbolic links are errors.
//   - Names that Nix has changed for a file system that ignores case are restored; see package casehack.
//   - The store of this machine is trusted as Nix trusts it, unless [Options.Verify] is set.
//     A relocated store is not trusted: every object is checked against its NAR hash when it is read.
//   - No link in ROOT leads out of it: an absolute link starts at ROOT, as if ROOT were "/".
//     The files of an object are opened directory by directory without following links.
//     If a directory is replaced by a link meanwhile, reading fails.
//
// Info fails for an object whose NAR size is not in the database (NULL or 0, from Nix before 1.0),
// since sizes decide how an image is divided into layers. It also fails if the hash is not a SHA-256.
// It omits a deriver that is not a store path; nothing depends on derivers.
package localstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// ErrNoDatabase reports a root without a database.
// It may have no store at all, or a store directory without metadata.
var ErrNoDatabase = errors.New("no store database")

// OtherDirError reports a database of another store directory than that of its place.
type OtherDirError struct{ Dir, Place profile.StoreDir }

func (e *OtherDirError) Error() string {
	return fmt.Sprintf("its database is of the store directory %s, not of %s", e.Dir, e.Place)
}

// Options configure how a store is read. The zero value suits most callers.
type Options struct {
	// StoreDir is the store directory. In a root directory, the store is at this path below the root.
	// A store elsewhere may have another one: its database says which.
	StoreDir profile.StoreDir
	// Verify checks NAR hashes in the store of this machine too.
	Verify bool
	// NoDatabase opens a store directory whose hashes and references come from elsewhere.
	// Info then returns an error that wraps profile.ErrNoInfo, and Files verifies nothing.
	NoDatabase bool
	// Signatures also reads signatures and content addresses.
	Signatures bool

	// Nix opens a directory that is a copy of /nix, or what is around another store directory,
	// with store and var in it, rather than of the root.
	Nix bool
	// Hash returns the NAR hash of an object for a store without a database, if it is known.
	// It decides whether to restore names; see package casehack.
	Hash func(profile.Path) profile.Hash
	// Note, if not nil, is called with notes for the user.
	Note func(text string)

	maxWait time.Duration // replaces the default in tests
}

// Store is the store in a root directory. It is a [profile.Store], [profile.Lister], [profile.Prover] and [profile.Linker].
type Store struct {
	root        *root
	dir         profile.StoreDir
	storeDir    *os.File // the store directory
	db          *snapshot
	verify      bool
	names       *casehack.Restorer
	objectsOnly bool // there is a store directory and nothing around it

	asked   atomic.Int64  // objects that lost was asked about
	present func() []bool // calls list once
}

var (
	_ profile.Store  = (*Store)(nil)
	_ profile.Lister = (*Store)(nil)
	_ profile.Prover = (*Store)(nil)
	_ profile.Linker = (*Store)(nil)
)

// StoreDir implements [profile.Store].
func (s *Store) StoreDir() profile.StoreDir { return s.dir }

// Info returns the metadata of a store object from the database.
// If the object's files are missing, Info returns it together with an error that wraps fs.ErrNotExist.
func (s *Store) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	o, err := s.find(p)
	if err != nil {
		return nil, err
	}
	info, err := s.db.info(o)
	if err != nil {
		return nil, fmt.Errorf("store path %q: %w", p, err)
	}
	if s.lost(p) {
		return info, &lostError{absentError{p, "is in the database, but its files are missing: the store is damaged, half copied, or only the upper one of two"}}
	}
	return info, nil
}

// Paths lists the objects in the database. Without a database, it lists all files whose names are those of objects.
func (s *Store) Paths(ctx context.Context) ([]profile.Path, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if s.db == nil {
		return s.listObjects()
	}
	return s.db.paths(), nil
}

// Files returns the files of a store object. They can be walked repeatedly and concurrently until the store is closed.
func (s *Store) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	// Most objects of a large closure are not walked in a run that changes little.
	return func(yield func(rootfs.Entry, error) bool) { s.files(ctx, p)(yield) }
}

func (s *Store) files(ctx context.Context, p profile.Path) rootfs.Tree {
	if s.db == nil {
		if err := profile.CheckBase(p.Base()); err != nil {
			return failedTree(fmt.Errorf("store path %q: %w", p, err))
		}
		return s.walk(ctx, p)
	}
	o, err := s.find(p)
	if err != nil {
		return failedTree(err)
	}
	t := s.walk(ctx, p)
	if !s.verify {
		return t
	}
	hash, size, err := o.hashAndSize()
	if err != nil {
		return failedTree(fmt.Errorf("store path %q: %w", p, err))
	}
	return nar.Verify(t, p.Root(), hash, size)
}

// Proven implements [profile.Prover]: without verification, the store of this machine is trusted as Nix trusts it.
func (s *Store) Proven(profile.Path) bool { return s.db != nil && !s.verify }

// failedTree returns a tree that consists only of an error.
func failedTree(err error) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, err) }
}

// Close closes the store. Files opened from it stay open.
func (s *Store) Close() error {
	err := s.root.close()
	if s.storeDir != nil {
		err = errors.Join(err, s.storeDir.Close())
	}
	return err
}

// find finds an object in the database. Its error explains why an object is missing.
func (s *Store) find(p profile.Path) (*object, error) {
	if s.db != nil {
		if o, ok := s.db.find(p); ok {
			return o, nil
		}
	}
	if err := profile.CheckBase(p.Base()); err != nil {
		return nil, fmt.Errorf("store path %q: %w", p, err)
	}
	var st unix.Stat_t
	if unix.Fstatat(int(s.storeDir.Fd()), p.Base(), &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		if s.db == nil {
			return nil, fmt.Errorf("store path %q: %w", p, errNotRead)
		}
		return nil, &absentError{p, "is in the store directory but not in the database: unfinished or garbage"}
	}
	return nil, &absentError{p, "is not in the store"}
}

var errNotRead = fmt.Errorf("the store was opened without its database: %w", profile.ErrNoInfo)
