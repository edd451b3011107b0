// Package tarstore reads a store from a tar archive, such as people carry to a machine without Nix.
//
// It recognises by content whether the archive holds
//
//   - a root directory: it contains nix/store, and possibly profiles and a database in nix/var/nix,
//     or gnu/store and var/guix, as guix pack writes them. If it has objects in both, the caller has to choose one.
//     This is the archive's root, or else the only directory in it that contains a store directory;
//   - a copy of /nix of any name: the only directory that contains store objects is called store, and var/nix/db is beside it.
//     Its database may be of another store directory, and so may that of nix below a root; see [Store.Move].
//   - a store directory of any name: the only directory that contains store objects.
//
// The archive may be compressed, and come from a pipe; see package input.
//
// An archive has no index. So Read reads all headers once and keeps them in memory:
// a few hundred bytes per entry, for at most maxEntries.
// The contents of files are read from the archive on demand.
//
// The author of an archive may be hostile, so these rules are strict:
//
//   - "..", a name longer than [rootfs.MaxName], an entry below a file that is not a directory,
//     and two different entries at one path are errors.
//     Directories may be repeated, and files too if their content is the same, as in real archives.
//     A leading "/" is dropped, and missing parent directories are added.
//   - A hard link stands for its target, which may be anywhere in the archive, before or after the link:
//     a file or symbolic link in any object, or in the .links of an optimised store.
//     A link to a missing file, to a directory or in a cycle makes its object unreadable.
//     So does any file other than a directory, regular file or symbolic link. Outside of objects, such files are ignored.
//   - A sparse file is an error: its declared size does not limit how much the archive must contain.
//   - An archive ends with a block of zeros; an earlier end is io.ErrUnexpectedEOF.
//     Other data may follow, such as the rest of a raw device: [Store.Trailing] reports them.
//     Another archive may not. Other programs ignore the second of two archives in one file.
//
// Of a file's mode, only the owner's execute bit counts.
// Owners, times, extended attributes and other metadata are ignored.
//
// A tar contains no hashes of objects: Info returns an error, and Files verifies nothing.
// The metadata comes from elsewhere: [Store.Database] extracts a database for package localstore,
// package references reads a file, and package scan searches the files for references.
package tarstore

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
	"github.com/export-profile/export-profile/profile/input"
	"github.com/export-profile/export-profile/profile/nar"
)

// FormatError reports a file that is not a tar of a store.
type FormatError struct {
	Is      string // what the file is instead, such as "a tar archive without a store in it"
	IsImage bool   // it is a container image
}

func (e *FormatError) Error() string { return "not a tar of a store, but " + e.Is }

// Store is an indexed tar archive. Its methods are safe for concurrent use.
// It is a [profile.Store], [profile.Lister] and [profile.Linker].
type Store struct {
	in   *input.Input
	dir  profile.StoreDir
	tree *tree

	root   id       // the directory that acts as "/", outer if there is only /nix, or none if there is only a store directory
	nix    id       // the directory that acts as "/nix", or as what is around another store directory, if root is outer
	around []string // the elements of the store directory: "nix", "store"
	store  id       // the store directory
	paths  []profile.Path

	trailing bool
	names    *casehack.Restorer
}

var (
	_ profile.Store  = (*Store)(nil)
	_ profile.Lister = (*Store)(nil)
	_ profile.Linker = (*Store)(nil)
)

// Read reads an archive from an unread input, to the end of the archive. It looks for one of [profile.KnownStoreDirs].
// Objects in another directory have store paths in the first of them.
// The store owns the input until Close. After an error the caller still owns it.
func Read(in *input.Input) (*Store, error) { return ReadIn(in, profile.KnownStoreDirs) }

// ReadIn is [Read] for other store directories.
func ReadIn(in *input.Input, dirs []profile.StoreDir) (*Store, error) {
	s := &Store{in: in}
	if err := s.read(dirs); err != nil {
		return nil, fmt.Errorf("read tar %q: %w", in.Name(), err)
	}
	s.trailing = s.trailing || in.Trailing()
	in.Finish()
	return s, nil
}

// Trailing reports whether the input continues after the end of the archive, with other data than zeros.
func (s *Store) Trailing() bool { return s.trailing }

func (s *Store) read(dirs []profile.StoreDir) error {
	head, err := s.in.Peek(blockSize)
	if err != nil {
		return err
	}
	switch {
	case len(head) == 0:
		return &FormatError{Is: "empty"}
	case !Recognise(head):
		return &FormatError{Is: "something unknown"}
	}
	b := newBuilder(s.in)
	if err := b.readAll(); err != nil {
		return err
	}
	s.trailing = b.trailing
	if s.tree, err = b.finish(); err != nil {
		return err
	}
	return s.findStore(dirs)
}

// errNoDatabase is the error of Info for every object.
var errNoDatabase = fmt.Errorf("a tar has files, but its database was not read: %w", profile.ErrNoInfo)

// Info always returns an error: it wraps profile.ErrNoInfo for an object in the archive, and fs.ErrNotExist for others.
func (s *Store) Info(_ context.Context, p profile.Path) (*profile.Info, error) {
	if _, err := s.object(p); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("store path %q: %w", p, errNoDatabase)
}

// StoreDir implements [profile.Store].
func (s *Store) StoreDir() profile.StoreDir { return s.dir }

// Paths lists the objects in the archive.
// It omits other files in the store directory; see [scan.Candidates].
func (s *Store) Paths(context.Context) ([]profile.Path, error) { return s.paths, nil }

// object finds the node of an object.
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

// AppleDouble returns the path of the first file that a program on macOS has probably added to the archive, or "":
// "._x" beside "x", with the content of an AppleDouble file.
func (s *Store) AppleDouble() string {
	t := s.tree
	for i := range t.nodes {
		n := &t.nodes[i]
		name, ok := strings.CutPrefix(n.name, "._")
		if !ok || n.kind != file || t.child(n.parent, name) == none {
			continue
		}
		var head [len(nar.AppleDoubleMagic)]byte
		if _, err := io.ReadFull(content(s.in, *n), head[:]); err == nil && string(head[:]) == nar.AppleDoubleMagic {
			return t.path(id(i))
		}
	}
	return ""
}

// Private reports whether no other process can change the data that Files reads.
func (s *Store) Private() bool { return s.in.Private() }

// Close closes the input.
func (s *Store) Close() error { return s.in.Close() }
