package profile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/export-profile/export-profile/profile/nix32"
	"github.com/export-profile/export-profile/rootfs"
)

// StoreDir is the only supported store directory.
const StoreDir = "/" + rootfs.StoreDir

// Limits of store paths in Nix (libstore/path.cc).
const (
	digestLen  = 32
	MaxNameLen = 211 // bytes of the name behind the hash
)

// Path is a store path: "/nix/store/<32 characters of nix32>-<name>".
// The zero value is not a path.
type Path string

// ParsePath parses the full store path of an object. It refuses the path of a file inside one.
func ParsePath(s string) (Path, error) {
	base, ok := strings.CutPrefix(s, StoreDir+"/")
	if !ok {
		if dir, base, ok := cutLast(s, "/"); ok && CheckBase(base) == nil && dir != "" {
			return "", fmt.Errorf("store path %q: store directory %q is not supported, only %s is", s, dir, StoreDir)
		}
		return "", fmt.Errorf("store path %q: not below %s", s, StoreDir)
	}
	if err := CheckBase(base); err != nil {
		return "", fmt.Errorf("store path %q: %w", s, err)
	}
	return Path(s), nil
}

// ParseBase parses the base name of a store path, "<hash>-<name>".
func ParseBase(base string) (Path, error) {
	if err := CheckBase(base); err != nil {
		return "", fmt.Errorf("store path %q: %w", base, err)
	}
	return Path(StoreDir + "/" + base), nil
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

// Base returns "<hash>-<name>".
func (p Path) Base() string { return strings.TrimPrefix(string(p), StoreDir+"/") }

// Name returns the part after the hash, such as "curl-8.4.0".
func (p Path) Name() string { return p.Base()[digestLen+1:] }

// Digest returns the 32 characters before the name. Nix finds references by them.
func (p Path) Digest() string { return p.Base()[:digestLen] }

// Root returns the object's path in a root file system: "nix/store/<hash>-<name>".
func (p Path) Root() string { return string(p[1:]) }

// CheckStoreDir returns an error if the name of a directory shows that it is another store directory than [StoreDir], or a copy of one.
// Other names say nothing, since a store can be copied to any place.
func CheckStoreDir(dir string) error {
	const guix = "/gnu/store"
	if dir == guix || strings.HasSuffix(dir, guix) {
		return fmt.Errorf("store directory %q is not supported, only %s is", guix, StoreDir)
	}
	return nil
}

// ObjectOf splits an absolute, clean path into the store path that it names or lies in, and the rest.
func ObjectOf(path string) (p Path, rest string, err error) {
	base, ok := strings.CutPrefix(path, StoreDir+"/")
	if !ok {
		return "", "", fmt.Errorf("%q is not below %s", path, StoreDir)
	}
	base, rest, _ = strings.Cut(base, "/")
	p, err = ParseBase(base)
	return p, rest, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
