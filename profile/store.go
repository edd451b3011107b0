package profile

import (
	"context"
	"errors"

	"github.com/export-profile/export-profile/rootfs"
)

// Store gives access to store objects. Each kind of source has one implementation; package storetest tests the contract.
// Several goroutines may use a store at once.
type Store interface {
	// StoreDir returns the directory of all objects of the store.
	StoreDir() StoreDir

	// Info returns what the store knows of an object.
	// The error wraps fs.ErrNotExist if the store does not have the object, and ErrNoInfo if it has only its files.
	// With an error that wraps ErrUntrusted, Info may still return the untrusted Info, whose references can be followed.
	// The same goes for an error that wraps fs.ErrNotExist, and also ErrNoFiles if the store itself has registered the object.
	Info(ctx context.Context, p Path) (*Info, error)

	// Files returns the files of an object with their paths in a root file system: the first entry's path is p.Root().
	// Modes are canonical (0555, 0444, links 0777), and the owner is 0:0.
	// Unless Nix itself would trust the store, a walk that reads all contents ends with an error
	// if their NAR hash differs from that of Info.
	Files(ctx context.Context, p Path) rootfs.Tree

	Close() error
}

// Errors of a store wrap one of these or fs.ErrNotExist if callers can act on them.
var (
	ErrNoInfo    = errors.New("no metadata")          // the store has only the files of an object
	ErrNoFiles   = errors.New("no files")             // the store has only the metadata of an object
	ErrUnlisted  = errors.New("not listed")           // a file of references that replaces the store's metadata lacks an object
	ErrUntrusted = errors.New("not trusted")          // the store has an object, but nothing vouches for it
	ErrEmpty     = errors.New("no store paths in it") // the store has no objects
	ErrNoLink    = errors.New("not a symbolic link")  // Linker.Readlink found something else
	ErrSpool     = errors.New("temporary file")       // this machine lacks space or permission; the store is not at fault
)

// Info is the metadata of a store object.
type Info struct {
	Path       Path
	NarHash    Hash
	NarSize    int64  // bytes of the NAR
	References []Path // sorted; includes Path if the object refers to itself

	// These fields never reach an image, and not every kind of store has them.
	Deriver    Path
	Signatures []string // "<key's name>:<base 64>", in any order
	CA         string   // content address, "text:sha256:<nix32>" or "fixed:[r:]<algorithm>:<nix32>"
	Guix       *GuixSignature
}

// GuixSignature is the signature of a source in Guix's form. Nix signs what an [Info] says.
// Guix signs bytes from which a source has read the Info: an Info that differs from them must not have it.
type GuixSignature struct {
	Text    string // an s-expression; see package trust/guix
	Hash    Hash   // SHA-256 of the bytes that must be signed
	Problem string // why the signature says nothing of the object, as in "its signature has version 2", or ""
}

// Lister is a store that can list its objects.
type Lister interface {
	Paths(ctx context.Context) ([]Path, error) // sorted
}

// Prover is a store that can guarantee that the files of an object match its Info, even before a caller has read them.
type Prover interface {
	// Proven returns true if the store is trusted, has hashed the files,
	// or hashes them even if a walk does not open them.
	Proven(p Path) bool
}

// Spooler is a store that can keep unpacked objects in temporary files.
type Spooler interface {
	// Spooler returns a function that unpacks an object, so that later walks of its files are fast.
	// It returns nil if that would gain little. The function may do nothing, and takes disk space until Close.
	Spooler(p Path) func(context.Context)
}

// SpoolerOf returns a function that unpacks an object of a store, or nil; see [Spooler].
func SpoolerOf(s Store, p Path) func(context.Context) {
	if spooler, ok := s.(Spooler); ok {
		return spooler.Spooler(p)
	}
	return nil
}

// Linker is a store with a file system around it that holds profile links.
type Linker interface {
	// Readlink reads the symbolic link at an absolute path of that file system.
	// The error wraps fs.ErrNotExist if the path does not exist, and ErrNoLink if it is not a link.
	Readlink(name string) (target string, err error)

	// Inside translates a path of this machine to that file system. It returns false if the path lies outside of it.
	Inside(name string) (string, bool)
}
