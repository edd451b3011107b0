package profile

import (
	"context"
	"errors"

	"github.com/export-profile/export-profile/rootfs"
)

// Store is what store objects come from. One implementation a kind of source; storetest holds its contract.
// Its methods may be called from several goroutines at once.
type Store interface {
	// Info is what is known of a store object.
	// The error wraps fs.ErrNotExist if there is no such object,
	// and ErrNoInfo if there are its files and somebody else has to say the rest.
	// Beside an error that wraps ErrUntrusted there may be what is not believed:
	// it says what else would be needed.
	Info(ctx context.Context, p Path) (*Info, error)

	// Files are the files of a store object, at their places in a root file system:
	// the first entry's path is p.Root().
	// Modes are canonical (0555, 0444, links 0777), the owner is 0:0.
	// Unless the store is trusted as Nix trusts its own, a tree whose contents were all read
	// ends with an error if it does not have the NAR hash that Info says.
	Files(ctx context.Context, p Path) rootfs.Tree

	Close() error
}

// ErrNoInfo is what the error of a store wraps that has the files of an object and knows nothing of it.
var ErrNoInfo = errors.New("nothing is known of it")

// Info is what a store knows of an object without looking at its files.
type Info struct {
	Path       Path
	NarHash    Hash
	NarSize    int64  // bytes of the NAR
	References []Path // sorted; with Path itself, if it refers to itself

	// What follows never reaches an image, and not every form of a store has it.
	Deriver    Path
	Signatures []string // "<key's name>:<base 64>", in any order
	CA         string   // content address, "text:sha256:<nix32>" or "fixed:[r:]<algorithm>:<nix32>"
}

// Lister is a store that can say which objects it has.
type Lister interface {
	Paths(ctx context.Context) ([]Path, error) // sorted
}

// Prover is a store that can say of an object that its files are what its Info says,
// though not all of them have been read:
// because it is trusted, has hashed them, or hashes them even when they are walked without being opened.
type Prover interface {
	Proven(p Path) bool
}

// Linker is a store with a file system around it, in which profile links lie.
type Linker interface {
	// Readlink reads the symbolic link at an absolute path of that file system.
	// The error wraps fs.ErrNotExist where nothing is, and ErrNoLink where something else is.
	Readlink(name string) (target string, err error)

	// Inside is the path in that file system of a path of this machine, and whether there is one.
	Inside(name string) (string, bool)
}
