package localstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
)

// OpenObjects opens a directory that has store objects in it, wherever it lies, and nothing that is known of them:
// Info is an error, and Files verifies nothing.
func OpenObjects(dir string) (_ *Store, err error) {
	r, err := openRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open store directory %q: %w", dir, err)
	}
	s := &Store{root: r, alone: true}
	if s.objs, err = r.openDir("."); err != nil {
		return nil, errors.Join(fmt.Errorf("open store directory %q: %w", dir, err), s.Close())
	}
	return s, nil
}

// Names are the names in the store directory, of objects and of whatever else is there, in no order.
func (s *Store) Names() ([]string, error) {
	// Opened anew: a directory is read once through a file, and others may read this one.
	fd, err := unix.Openat(int(s.objs.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("list store directory: %w", err)
	}
	d := os.NewFile(uintptr(fd), s.objs.Name())
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list store directory: %w", err)
	}
	return names, nil
}

// present are the objects that a store directory seems to have.
func (s *Store) present() ([]profile.Path, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	var paths []profile.Path
	for _, name := range names {
		if p, err := profile.ParseBase(name); err == nil {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// IsLock says whether a name in the store directory is a file as Nix uses for locks: of at most one byte.
func (s *Store) IsLock(name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(int(s.objs.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size <= 1
}

// ReadDatabase is all that a database file says, for objects that come from elsewhere.
// What is odd about a row is as if it were not there.
func ReadDatabase(ctx context.Context, file string) ([]*profile.Info, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %q: %w", ErrNoDatabase, file, fs.ErrNotExist)
	}
	d := database{path: file, signatures: true, patience: patience}
	known, err := d.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read database %q: %w", file, err)
	}
	var infos []*profile.Info
	for i := range known.objects {
		if o := &known.objects[i]; o.invalid == nil {
			if info, err := known.info(o); err == nil {
				infos = append(infos, info)
			}
		}
	}
	return infos, nil
}
