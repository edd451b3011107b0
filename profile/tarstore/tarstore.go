// Package tarstore is a store in a tar archive, as people carry one to a machine without Nix.
//
// What it can be a tar of, recognised by looking:
//
//   - a root directory, which has nix/store in it, and may have a profile or a database in nix/var/nix;
//     it may be the archive's root, or some directory in it if no other has a nix/store;
//   - a store directory, by any name: the one directory that has store objects in it.
//
// It may be compressed, and come from a pipe; see package input.
//
// An archive has no index, so its headers are read once when it is opened, and kept in memory:
// a few hundred bytes an entry, for at most maxEntries.
// Contents are read where they are when they are asked for.
//
// What is read strictly, since whoever wrote it may be hostile:
//
//   - "..", a name longer than [rootfs.MaxName], something below what is no directory,
//     and more than one thing at one place are errors.
//     A directory may come again, and so may a file with the same content, as in real archives.
//     A "/" before a name is dropped, and directories that are missing are filled in.
//   - A hard link is what it leads to, wherever in the archive that is, before it or after it:
//     the file (or symbolic link) of another object, or in the .links of an optimised store.
//     One that leads to nothing, to a directory or around in a circle spoils the object that it is in.
//     So does what is no directory, regular file or symbolic link; outside of objects it is ignored.
//   - A sparse file is an error: what it declares has nothing to do with how much is there.
//   - An archive ends with a block of zeros; one that ends before it is io.ErrUnexpectedEOF.
//     Behind it there is nothing but zeros. Other programs ignore what else is there,
//     and with it the second of two archives in one file.
//
// Of a file's mode only the owner's x bit counts.
// Owners, times, extended attributes and all that an archive may say beside are ignored.
//
// It has files and no hashes: Info is an error, and Files verifies nothing.
// [Store.Database] gives what lets package localstore say the rest,
// package references takes it from a file, and package scan finds it in the files.
package tarstore

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/input"
)

// FormatError says what a file is that is no tar of a store.
type FormatError struct {
	Is string // "a tar archive without a Nix store in it"
}

func (e *FormatError) Error() string { return "not a tar of a store, but " + e.Is }

// Store is a tar archive. Its methods are safe for concurrent use.
// It is a [profile.Store], [profile.Lister] and [profile.Linker].
type Store struct {
	in   *input.Input
	tree *tree

	root  id // what is "/", or none if there is only a store directory
	store id // the store directory
	paths []profile.Path
}

var (
	_ profile.Store  = (*Store)(nil)
	_ profile.Lister = (*Store)(nil)
	_ profile.Linker = (*Store)(nil)
)

// Read reads the archive that an input is, of which nothing has been read yet, to its end.
// The store owns the input until Close; after an error it is still the caller's.
func Read(in *input.Input) (*Store, error) {
	s := &Store{in: in}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("read tar %q: %w", in.Name(), err)
	}
	in.Finish()
	return s, nil
}

func (s *Store) read() error {
	head, err := s.in.Peek(blockSize)
	if err != nil {
		return err
	}
	switch {
	case len(head) == 0:
		return &FormatError{"empty"}
	case !Recognise(head):
		return &FormatError{"something unknown"}
	}
	b := newBuilder(s.in)
	if err := b.readAll(); err != nil {
		return err
	}
	if s.tree, err = b.finish(); err != nil {
		return err
	}
	return s.find()
}

// errNoDatabase is what is known of objects.
var errNoDatabase = fmt.Errorf("a tar has files, but its database was not read: %w", profile.ErrNoInfo)

// Info is an error: one that wraps fs.ErrNotExist if there is no such object, and profile.ErrNoInfo if there is.
func (s *Store) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	if _, err := s.object(p); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("store path %q: %w", p, errNoDatabase)
}

// Paths are the objects whose files are there.
// What else lies in a store directory is left out; see [scan.Candidates].
func (s *Store) Paths(context.Context) ([]profile.Path, error) { return s.paths, nil }

// object finds the file or directory that an object is.
func (s *Store) object(p profile.Path) (id, error) {
	if err := profile.CheckBase(p.Base()); err != nil {
		return none, fmt.Errorf("store path %q: %w", p, err)
	}
	i := s.tree.child(s.store, p.Base())
	if i == none {
		return none, fmt.Errorf("%q is not in the tar: %w", p, fs.ErrNotExist)
	}
	return i, nil
}

// Private says that nobody else can change what Files reads.
func (s *Store) Private() bool { return s.in.Private() }

// Close closes the file.
func (s *Store) Close() error { return s.in.Close() }
