package profile

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/export-profile/export-profile/profile/nix32"
	"github.com/export-profile/export-profile/rootfs"
)

// StoreDir is a directory of store objects. The zero value is /nix/store.
type StoreDir = rootfs.StoreDir

// KnownStoreDirs lists the store directories that a file system is searched for, unless the user names one: those of Nix and of Guix.
var KnownStoreDirs = []StoreDir{{}, guixStore}

var guixStore, _ = rootfs.ParseStoreDir("/gnu/store")

// StateDir returns the directory in which the package manager keeps the database and the profiles of a store.
// Nix has it beside the store directory, and Guix in /var/guix.
func StateDir(dir StoreDir) string {
	if dir.IsGuix() {
		return "/var/guix"
	}
	return path.Join(dir.String(), "../var/nix")
}

// DefaultLink returns the profile of a file system as a whole: in Nix that of all users, which root's commands change.
// Guix has none for all users. There it is root's, into which guix pack puts the profile of a pack, too.
func DefaultLink(dir StoreDir) string {
	if dir.IsGuix() {
		return StateDir(dir) + "/profiles/per-user/root/guix-profile"
	}
	return StateDir(dir) + "/profiles/default"
}

// OwnDirs lists the directories of a file system that belong to the package manager: the one around the store directory,
// and the state directory.
func OwnDirs(dir StoreDir) []string {
	around := path.Dir(dir.String())
	if around == "/" {
		around = dir.String()
	}
	return []string{around, StateDir(dir)}
}

// StoresError reports a source with objects in several store directories.
type StoresError struct{ Dirs []StoreDir }

func (e *StoresError) Error() string {
	return fmt.Sprintf("it has two stores, %s and %s", e.Dirs[0], e.Dirs[1])
}

// Limits of store paths in Nix (libstore/path.cc).
const (
	digestLen  = 32
	MaxNameLen = 211 // bytes of the name behind the hash
)

// Path is a store path: "<store directory>/<32 characters of nix32>-<name>".
// The zero value is not a path.
type Path string

// ParsePath parses the full store path of an object, in whatever store directory. It refuses the path of a file in an object.
// A reader whose store directory is known has to compare it with [Path.StoreDir].
func ParsePath(s string) (Path, error) {
	dir, base, ok := cutLast(s, "/")
	if !ok || dir == "" {
		return "", fmt.Errorf("store path %q: not below a store directory, such as %s", s, StoreDir{})
	}
	if err := checkParts(dir, base); err != nil {
		return "", fmt.Errorf("store path %q: %w", s, err)
	}
	return Path(s), nil
}

// checkParts reports why a directory and a base name are not those of a store object.
func checkParts(dir, base string) error {
	if dir == nixStore { // saves time
		return CheckBase(base)
	}
	for name := range strings.SplitSeq(dir, "/") {
		if CheckBase(name) == nil {
			return fmt.Errorf("names a file in the object %q", name)
		}
	}
	if err := CheckBase(base); err != nil {
		return err
	}
	_, err := rootfs.ParseStoreDir(dir)
	return err
}

const nixStore = "/nix/store"

// ParseBase parses the base name of a store path, "<hash>-<name>".
func ParseBase(dir StoreDir, base string) (Path, error) {
	if err := CheckBase(base); err != nil {
		return "", fmt.Errorf("store path %q: %w", base, err)
	}
	return Path(dir.String() + "/" + base), nil
}

// CheckBase reports why a name is not the base name of a store path.
func CheckBase(base string) error {
	if len(base) < digestLen+1 || base[digestLen] != '-' {
		return errors.New("does not begin with a hash of 32 characters and a dash")
	}
	for _, c := range []byte(base[:digestLen]) {
		if strings.IndexByte(nix32.Alphabet, c) < 0 {
			return fmt.Errorf("illegal character %q in its hash", c)
		}
	}
	name := base[digestLen+1:]
	first, _, _ := strings.Cut(name, "-")
	switch {
	case name == "":
		return errors.New("name is empty")
	case len(name) > MaxNameLen:
		return fmt.Errorf("name is longer than %d bytes", MaxNameLen)
	case first == ".", first == "..":
		return fmt.Errorf("name %q begins with %q", name, first)
	}
	for _, c := range []byte(name) {
		if !IsNameByte(c) {
			return fmt.Errorf("illegal character %q in its name", c)
		}
	}
	return nil
}

// IsNameByte reports whether the name of a store path may have a character.
func IsNameByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	}
	switch c {
	case '+', '-', '.', '_', '?', '=':
		return true
	}
	return false
}

// StoreDir returns the directory of the object.
func (p Path) StoreDir() StoreDir {
	dir, _, _ := cutLast(string(p), "/")
	d, _ := rootfs.ParseStoreDir(dir)
	return d
}

// Base returns "<hash>-<name>".
func (p Path) Base() string { return string(p[strings.LastIndexByte(string(p), '/')+1:]) }

// Name returns the part after the hash, such as "curl-8.4.0".
func (p Path) Name() string { return p.Base()[digestLen+1:] }

// Digest returns the 32 characters before the name. Nix finds references by them.
func (p Path) Digest() string { return p.Base()[:digestLen] }

// Root returns the object's path in a root file system: "nix/store/<hash>-<name>".
func (p Path) Root() string { return string(p[1:]) }

// ObjectOf splits an absolute, clean name into the store path that it names or lies in, and the rest.
func ObjectOf(dir StoreDir, name string) (p Path, rest string, err error) {
	base, rest, ok := dir.Cut(strings.TrimPrefix(name, "/"))
	if !ok {
		return "", "", fmt.Errorf("%q is not below %s", name, dir)
	}
	p, err = ParseBase(dir, base)
	return p, rest, err
}

// CheckIn returns an error if the path is in another store directory than dir.
func (p Path) CheckIn(dir StoreDir) error {
	if parent, ok := strings.CutPrefix(string(p[:max(len(p)-len(p.Base())-1, 0)]), "/"); !ok || parent != dir.Root() {
		return fmt.Errorf("store path %q: in another store directory than %s", p, dir)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
