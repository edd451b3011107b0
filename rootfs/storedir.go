package rootfs

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"
)

// StoreDir is the directory of an image's store objects, such as /nix/store or /gnu/store.
// The zero value is /nix/store. Values can be compared.
//
// The directory is part of every store path, and programs have store paths in their bytes.
// So it says how objects name each other, not where a copy of them lies on a disk.
type StoreDir struct {
	root string // relative to the root of the file system; "" is nixStore
}

const (
	nixStore  = "nix/store"
	guixStore = "gnu/store"

	maxStoreDir = 128 // bytes; Guix and Nix have 10, a home directory some 40
)

// taken lists directories that belong to the base files, to programs or to the kernel. None of them is a store directory.
// Those with true have none below them, either: a container hides it, or it gets into the way of base files.
var taken = map[string]bool{
	"bin": true, "boot": true, "dev": true, "etc": true, "lib": true, "lib32": true, "lib64": true, "proc": true,
	"run": true, "sbin": true, "sys": true, "tmp": true, "usr/bin": true, "var/empty": true, "var/tmp": true,
	"home": false, "media": false, "mnt": false, "nix": false, "opt": false, "root": false, "srv": false, "usr": false, "var": false,
}

// ParseStoreDir parses the name of a store directory: an absolute, clean path of printable characters without spaces.
// It refuses places of other files, such as /etc.
func ParseStoreDir(s string) (StoreDir, error) {
	bad := func(why string) (StoreDir, error) { return StoreDir{}, fmt.Errorf("store directory %q: %s", s, why) }
	switch {
	case !path.IsAbs(s):
		return bad("want an absolute path, such as /nix/store")
	case s == "/":
		return bad("the root directory cannot be one")
	case path.Clean(s) != s:
		return bad("want it as " + path.Clean(s))
	case len(s) > maxStoreDir:
		return bad(fmt.Sprintf("longer than %d bytes", maxStoreDir))
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"$'()*:;<>?[\]`+"`{|}", c) >= 0 {
			return bad(fmt.Sprintf("illegal character %q", c)) // it is in PATH, in scripts and in histories
		}
	}
	if strings.Contains(s, "/.wh.") {
		return bad("a name that begins with .wh. would delete a file of another layer")
	}
	for dir := s[1:]; dir != ""; dir = Parent(dir) {
		if below, ok := taken[dir]; ok && (below || dir == s[1:]) {
			return bad("/" + dir + " is for other files")
		}
	}
	if s == "/"+nixStore {
		return StoreDir{}, nil
	}
	return StoreDir{s[1:]}, nil
}

// IsGuix reports whether it is the store directory of Guix, which has a database and signatures of its own.
func (d StoreDir) IsGuix() bool { return d.root == guixStore }

// Root returns the directory relative to the root of the file system: "nix/store".
func (d StoreDir) Root() string {
	if d.root == "" {
		return nixStore
	}
	return d.root
}

// String returns the absolute path: "/nix/store".
func (d StoreDir) String() string { return "/" + d.Root() }

// Equal reports whether both are the same directory. It is for programs that compare by methods.
func (d StoreDir) Equal(other StoreDir) bool { return d == other }

// MarshalText returns the absolute path.
func (d StoreDir) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the absolute path.
func (d *StoreDir) UnmarshalText(b []byte) (err error) {
	*d, err = ParseStoreDir(string(b))
	return err
}

// Object returns the root of the object of that base name: "nix/store/<hash>-<name>".
func (d StoreDir) Object(name string) string { return d.Root() + "/" + name }

// Cut splits a path below the store directory into the base name of its object and what follows that.
// The path is relative to the root of the file system and clean.
func (d StoreDir) Cut(path string) (name, below string, ok bool) {
	rest, ok := strings.CutPrefix(path, d.Root()+"/")
	if !ok {
		return "", "", false
	}
	name, below, _ = strings.Cut(rest, "/")
	return name, below, true
}

// Holds reports whether a path is the store directory or lies below it.
func (d StoreDir) Holds(path string) bool { return Within(d.Root(), path) }

// Above reports whether a path is the store directory or a directory above it, but not the root of the file system.
// These directories are the same in every layer.
func (d StoreDir) Above(path string) bool { return path != "" && Within(path, d.Root()) }

// Dirs lists the store directory and those above it, from the top: "nix", "nix/store".
func (d StoreDir) Dirs() []string {
	var dirs []string
	for i, c := range d.Root() {
		if c == '/' {
			dirs = append(dirs, d.Root()[:i])
		}
	}
	return append(dirs, d.Root())
}

// FactKind names a kind of facts that depend on the store directory. It returns kind itself for /nix/store.
func (d StoreDir) FactKind(kind string) string {
	if d.root == "" {
		return kind
	}
	sum := sha256.Sum256([]byte(d.root)) // any name of the directory itself could be that of another one, or a part of a kind
	return fmt.Sprintf("%s-%x", kind, sum[:16])
}

// StoreDirOf returns the store directory of parts: the one that holds their roots, or /nix/store if no part has a root.
// The error names two parts in different directories.
func StoreDirOf(parts []Part) (StoreDir, error) {
	first, dir := "", ""
	for i := range parts {
		switch root := parts[i].Root; {
		case root == "":
		case first == "":
			first, dir = root, Parent(root)
		case Parent(root) != dir:
			return StoreDir{}, fmt.Errorf("two store directories: %q and %q", "/"+first, "/"+root)
		}
	}
	if first == "" {
		return StoreDir{}, nil
	}
	return ParseStoreDir("/" + dir)
}
