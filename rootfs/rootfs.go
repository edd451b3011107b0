// Package rootfs is the narrow waist of export-profile:
// a file system as a sequence of entries, before anything is written.
// Packages that read a Nix store produce parts, packages that write images consume them,
// and neither side knows the other.
//
// A [Tree] is a sequence of [Entry] values, one for each directory, regular file or symbolic link.
// A [Part] is a tree that changes as a whole: one store object,
// or the files that an image has besides its store (package base makes them).
//
//   - [Join] merges parts into one tree, and [Ahead] reads parts before their turn.
//   - [View] looks up and reads files across parts. [Facts] remembers what it finds for the next run.
//   - [Lower] holds the files of an image over which parts are laid.
//   - [WriteDir] writes parts into a directory.
//   - [EntryMap] holds many entries in little memory.
//
// The rules of a tree, which [Join] and [Check] enforce and every writer may rely on:
//
//   - A path is relative, clean, and separated by slashes; it never leaves its tree.
//     Its elements are bytes, not necessarily UTF-8, without NUL, at most [MaxName] long.
//   - Entries come in path order ([ComparePaths]): element by element, parents before children, each path once.
//     This is the order of a NAR and of a depth-first walk, not the order of strings:
//     "a", "a/b", "a-b".
//   - The parent of an entry is a directory of the same tree.
//   - An entry is a directory, a regular file or a symbolic link, and nothing else.
//     Hard links do not exist: every file has its own content.
//   - There is no modification time, no extended attribute and no owner's name.
//     Every writer gives every entry the time [ModTime].
package rootfs

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"
)

// ModTime is the modification time of every entry that is written:
// one second after the epoch, as in a Nix store.
var ModTime = time.Unix(1, 0).UTC()

// Limits of a tree.
const (
	MaxName   = 255  // bytes of one path element, as in Linux
	MaxTarget = 4095 // bytes of a symbolic link's target, as in Linux
	MaxDepth  = 1024 // elements of a path below its part's root

	MaxPathDepth = MaxDepth + 1 + maxStoreDir/2 // elements of a path: a part's root lies in a store directory
)

// Entry is one directory, regular file or symbolic link at a place in the file system.
type Entry struct {
	Path string // relative to the root of the file system, clean, never empty

	// Mode holds the type (fs.ModeDir, fs.ModeSymlink, or 0 for a regular file),
	// the permission bits, fs.ModeSticky, fs.ModeSetgid except on links, and fs.ModeSetuid on regular files.
	// A link's permissions are always 0777. Entries of store objects have only permission bits.
	Mode     fs.FileMode
	UID, GID int

	Size   int64  // bytes of a regular file
	Target string // of a symbolic link, verbatim

	// Open opens a regular file; it is nil for other entries.
	// It may be called only until the walk moves on, so that a stream can be a Tree.
	// The reader delivers exactly Size bytes or fails.
	// It is an *os.File if the kernel may copy or clone the file.
	Open func() (io.ReadCloser, error)
}

// Tree is a sequence of entries that follows the rules in the package comment.
// It can be walked several times. An error ends a walk.
type Tree = iter.Seq2[Entry, error]

// TreeOf returns a tree of entries, which must be in path order.
func TreeOf(entries []Entry) Tree {
	return func(yield func(Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Part is a piece of the file system that changes as a whole.
type Part struct {
	// Name is the name that people see: the base name of a store path, or "base".
	Name string
	// Key promises the content: equal keys, equal trees.
	// For a store object it is the NAR hash as "sha256:<hex>".
	// An empty key promises nothing; such a part is never cached.
	Key string
	// Unproven marks a key that is only a claim until one walk has read all contents.
	// That walk ends with an error if the claim is false.
	Unproven bool
	// Changed says that a user's rules changed the store object on purpose. Its key is then no NAR hash.
	Changed bool
	// Root is the path of the part, "nix/store/<hash>-<name>".
	// Every path of Tree is Root itself or lies below it.
	// The empty root is the whole file system; only one part of an image has it.
	Root string
	// Refs are the Roots of the parts that this one needs, sorted, without itself.
	Refs []string
	// Size is roughly the number of bytes in it; for a store object, the size of its NAR.
	Size int64
	Tree Tree
	// Spool, if not nil, unpacks the part into a temporary file, so that later walks are fast. It ends soon after
	// its context is cancelled, and may fail silently: then walks take longer.
	Spool func(context.Context)
}

func (e Entry) IsDir() bool     { return e.Mode.IsDir() }
func (e Entry) IsLink() bool    { return e.Mode.Type() == fs.ModeSymlink }
func (e Entry) IsRegular() bool { return e.Mode.IsRegular() }

// Dir returns a directory that is owned by root.
func Dir(path string, perm fs.FileMode) Entry {
	return Entry{Path: path, Mode: fs.ModeDir | perm}
}

// File returns a regular file that is owned by root.
func File(path string, perm fs.FileMode, size int64, open func() (io.ReadCloser, error)) Entry {
	return Entry{Path: path, Mode: perm, Size: size, Open: open}
}

// Link returns a symbolic link that is owned by root.
func Link(path, target string) Entry {
	return Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Target: target}
}
