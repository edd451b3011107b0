package localstore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/casehack"
)

// OpenObjects opens a directory of store objects at any place, without metadata.
// Info returns an error, and Files verifies nothing. Of the options, only StoreDir, Hash and Note matter.
func OpenObjects(dir string, o Options) (_ *Store, err error) {
	r, err := openRoot(dir, "")
	if err != nil {
		return nil, fmt.Errorf("open store directory %q: %w", dir, err)
	}
	s := &Store{root: r, dir: o.StoreDir, objectsOnly: true, names: &casehack.Restorer{Hash: o.Hash, Note: o.Note}}
	s.present = sync.OnceValue(s.list)
	if s.storeDir, err = r.openDir("."); err != nil {
		return nil, errors.Join(fmt.Errorf("open store directory %q: %w", dir, err), s.Close())
	}
	return s, nil
}

// Names lists the names of all files in the store directory, not only of objects, in no particular order.
func (s *Store) Names() ([]string, error) {
	// Open the directory again: each open file has only one read position, and other goroutines may use it.
	fd, err := unix.Openat(int(s.storeDir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("list store directory: %w", err)
	}
	d := os.NewFile(uintptr(fd), s.storeDir.Name())
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list store directory: %w", err)
	}
	return names, nil
}

// listObjects lists the files in the store directory whose names are those of objects.
func (s *Store) listObjects() ([]profile.Path, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	var paths []profile.Path
	for _, name := range names {
		if p, err := profile.ParseBase(s.dir, name); err == nil {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// IsLock reports whether a file in the store directory looks like a lock of Nix: a regular file of at most one byte.
func (s *Store) IsLock(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(s.storeDir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= 1
}
