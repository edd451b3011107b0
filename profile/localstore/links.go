package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/export-profile/export-profile/profile"
)

// Readlink reads a symbolic link at an absolute path below the root.
// It follows links in parent directories; they cannot lead out of the root.
func (s *Store) Readlink(name string) (string, error) {
	name = path.Clean("/" + name)
	if s.objectsOnly {
		return "", fmt.Errorf("%q is outside the store directory: %w", name, fs.ErrNotExist)
	}
	if name == "/" {
		return "", fmt.Errorf("%q: %w", s.root.dir, profile.ErrNoLink)
	}
	dir, err := s.root.resolve(path.Dir(name))
	if err != nil {
		return "", err
	}
	place := path.Join(dir, path.Base(name))
	target, err := s.root.readlink(place)
	if errors.Is(err, syscall.EINVAL) {
		err = profile.ErrNoLink
	}
	if err != nil {
		return "", s.root.named(place, err)
	}
	return target, nil
}

// Inside converts a path on this machine to an absolute path below the root. It returns false for other paths.
func (s *Store) Inside(name string) (string, bool) {
	if s.objectsOnly {
		return "", false
	}
	for _, dir := range []string{s.root.dir, s.root.real} {
		if rest, ok := cutDir(name, strings.TrimSuffix(dir, "/")); ok {
			return s.root.inside(rest), true
		}
	}
	return "", false
}
