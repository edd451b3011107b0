// Package localstore reads a Nix store where Nix itself left it:
// the files in ROOT/nix/store, what is known of them in the database in ROOT/nix/var/nix/db.
// ROOT is "/" for the store of this machine, and another directory for a copy of one, a relocated store.
//
// What it promises:
//
//   - Nothing is written, created or locked in ROOT, by whichever user,
//     and neither the store nor the database need be writable.
//   - The database is read once, by [Open], as of one instant:
//     never the half of a transaction, and never without what is only in its log yet,
//     whether Nix is writing it, has died while it did, or left it alone long ago.
//     Where that instant cannot be had, the error says why. See type database for how.
//   - Only objects in the database exist. What else lies in the store directory is unfinished or garbage.
//   - Files are as in a NAR, canonical: directories 0555, files 0555 if their owner may execute them and else 0444,
//     owner 0:0; a set-user-ID bit, a time, an extended attribute or a hard link makes no difference.
//     What is no directory, regular file or symbolic link is an error.
//   - The store of this machine is trusted as Nix trusts it, unless [Options.Verify] says otherwise.
//     A relocated store is not: every object that is read is checked against its NAR hash.
//   - No link in ROOT leads out of it: an absolute one begins at ROOT, as if ROOT were "/".
//     The files of an object are opened one directory after the other, without following any link:
//     a directory that is swapped for one while an object is read is an error.
//
// A NAR size that the database does not know (NULL or 0, left by Nix before 1.0) is an error
// when that object is asked for: sizes decide how an image is cut into layers.
// So is a hash that is no SHA-256. A deriver that is no store path is left out; nothing depends on it.
package localstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// ErrNoDatabase is what the error of Open wraps where a root has no database:
// no store at all, or a store directory without what is known of it.
var ErrNoDatabase = errors.New("no Nix database")

// Options say how a store is read. The zero value is right for most.
type Options struct {
	// Verify checks NAR hashes in the store of this machine, too.
	Verify bool
	// NoDatabase reads a store directory whose hashes and references come from elsewhere:
	// Info is an error that wraps profile.ErrNoInfo, and Files verifies nothing.
	NoDatabase bool
	// Signatures reads signatures and content addresses, too.
	Signatures bool

	patience time.Duration // how long Nix may keep one from reading, if not as long as usual
}

// Store is the store of a root directory. It is a [profile.Store], [profile.Lister], [profile.Prover] and [profile.Linker].
type Store struct {
	root   *root
	objs   *os.File // the store directory
	known  *snapshot
	verify bool
	alone  bool // there is a store directory and nothing around it
}

var (
	_ profile.Store  = (*Store)(nil)
	_ profile.Lister = (*Store)(nil)
	_ profile.Prover = (*Store)(nil)
	_ profile.Linker = (*Store)(nil)
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
	r, err := openRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{root: r, verify: o.Verify || r.relocated()}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if !o.NoDatabase {
		place, err := r.resolve(databasePath)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w at %q: %w", ErrNoDatabase, r.within(databasePath), fs.ErrNotExist)
		}
		if err != nil {
			return nil, fmt.Errorf("find database: %w", err)
		}
		d := database{path: r.within(place), signatures: o.Signatures, patience: cmp.Or(o.patience, patience)}
		if s.known, err = d.read(ctx); err != nil {
			return nil, fmt.Errorf("read database %q: %w", d.path, err)
		}
	}
	place, err := r.resolve(profile.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("find store directory: %w", err)
	}
	if s.objs, err = r.openDir(place); err != nil {
		return nil, fmt.Errorf("open store directory: %w", r.named(place, err))
	}
	return s, nil
}

// databasePath is where Nix keeps the database of the store in /nix/store.
const databasePath = "/nix/var/nix/db/db.sqlite"

// Info is what the database says of a store object.
func (s *Store) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	o, err := s.find(p)
	if err != nil {
		return nil, err
	}
	info, err := s.known.info(o)
	if err != nil {
		return nil, fmt.Errorf("store path %q: %w", p, err)
	}
	return info, nil
}

// Paths are all objects in the database, or without one all that is called like an object.
func (s *Store) Paths(ctx context.Context) ([]profile.Path, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if s.known == nil {
		return s.present()
	}
	return s.known.paths(), nil
}

// Files are the files of a store object. They can be walked several times, also at once, until the store is closed.
func (s *Store) Files(ctx context.Context, p profile.Path) rootfs.Tree {
	if s.known == nil {
		if err := profile.CheckBase(p.Base()); err != nil {
			return broken(fmt.Errorf("store path %q: %w", p, err))
		}
		return s.walk(ctx, p)
	}
	o, err := s.find(p)
	if err != nil {
		return broken(err)
	}
	t := s.walk(ctx, p)
	if !s.verify {
		return t
	}
	hash, size, err := o.promise()
	if err != nil {
		return broken(fmt.Errorf("store path %q: %w", p, err))
	}
	return nar.Verify(t, p.Root(), hash, size)
}

// Proven implements [profile.Prover]: the store of this machine is trusted as Nix trusts it.
func (s *Store) Proven(profile.Path) bool { return s.known != nil && !s.verify }

// broken is a tree that cannot be read.
func broken(err error) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, err) }
}

// Close closes the store. What was opened from it stays open.
func (s *Store) Close() error {
	err := s.root.close()
	if s.objs != nil {
		err = errors.Join(err, s.objs.Close())
	}
	return err
}

// find finds an object in the database.
func (s *Store) find(p profile.Path) (*object, error) {
	if s.known != nil {
		if o, ok := s.known.find(p); ok {
			return o, nil
		}
	}
	if err := profile.CheckBase(p.Base()); err != nil {
		return nil, fmt.Errorf("store path %q: %w", p, err)
	}
	var st unix.Stat_t
	if unix.Fstatat(int(s.objs.Fd()), p.Base(), &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		if s.known == nil {
			return nil, fmt.Errorf("store path %q: %w", p, errNotRead)
		}
		return nil, &absentError{p, "is in the store directory but not in the database: unfinished or garbage"}
	}
	return nil, &absentError{p, "is not in the store"}
}

var errNotRead = fmt.Errorf("the store was opened without its database: %w", profile.ErrNoInfo)

// absentError says that there is no such object. It wraps fs.ErrNotExist without that text.
type absentError struct {
	path profile.Path
	why  string
}

func (e *absentError) Error() string { return fmt.Sprintf("store path %q %s", e.path, e.why) }
func (e *absentError) Unwrap() error { return fs.ErrNotExist }
