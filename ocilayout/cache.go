package ocilayout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
)

// Cache keeps layers from run to run, in a directory:
//
//	CACHEDIR.TAG                        tells backups that nothing here is worth keeping
//	layers-1/parts/KEY                  what tar some parts make: its diffID and size
//	layers-1/packed/DIFFID.COMPRESSION  what blob that tar makes: its digest and size
//	layers-1/blobs/DIGEST               the blob
//	layers-1/trimmed                    when the cache was last trimmed
//
// KEY is a hash of what the parts promise of themselves (see rootfs.Part), and of the tar's format.
// A record is one line of JSON, and a line with the hash of that and of the record's name.
// What else is in the directory is not the cache's, and it is left alone. The 1 is the version of all this.
//
// A part that proves its key only when it is walked (rootfs.Part.Unproven) is taken from the cache
// only if it was walked as such when its layer was made: whoever wants the store to be verified
// gets nothing that was made of it before unseen.
//
// A cache is only ever a shortcut: what is not there, damaged or cannot be written makes a run slower
// and nothing else. It can be deleted at any time, and be used by several runs at the same time:
// each file appears whole, by a rename, and blobs before the records that lead to them.
//
// Blobs are hard links to those of layouts in the same file system, where neither owner nor mode differ,
// or else clones or copies. A blob is not hashed before it is used again, only looked at:
// it has the size and the modification time that it had when its hash was known, since what writes into a file changes that.
// If it has not, it is hashed. What a disk has changed by itself, Options.VerifyCache finds out.
type Cache struct {
	dir      string
	compress string // the version of the compressors' module; empty if it is not known
}

const (
	partsName  = "parts"
	packedName = "packed"
	blobsName  = "blobs"

	// newName is in the names of the directories in which files are made.
	// Each is locked by its run, so that the next one can clean up after one that was killed.
	newName = "new"
)

// CacheName is the directory of layers in a cache.
const CacheName = "layers-1"

// CacheTag is the name of the file that https://bford.info/cachedir/ asks for.
const CacheTag = "CACHEDIR.TAG"

const cacheTag = `Signature: 8a477f597d28d172789f06886806bc55
# This directory has what export-profile need not do again. It can be deleted at any time.
`

// OpenCache opens the cache in a directory, which is made if it does not exist.
// It is an error if it cannot be made or is not a directory;
// one that cannot be written to is good for what it has.
func OpenCache(dir string) (*Cache, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache %q: %w", dir, err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("open cache %q: %w", dir, err)
	}
	c := &Cache{dir: filepath.Join(path, CacheName), compress: compress.Version()}
	tag := filepath.Join(path, CacheTag)
	if _, err := os.Lstat(tag); errors.Is(err, fs.ErrNotExist) {
		_ = os.WriteFile(tag, []byte(cacheTag), 0o644)
	}
	_ = rootfs.CleanStaging(c.dir, newName, nil)
	return c, nil
}

// FindCache opens the cache in a directory that exists, for [Cache.Usage] and [Cache.Prune]. It writes nothing there.
func FindCache(dir string) (*Cache, error) {
	path, err := filepath.Abs(dir)
	if err == nil {
		var fi os.FileInfo
		if fi, err = os.Stat(path); err == nil && !fi.IsDir() {
			err = syscall.ENOTDIR
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open cache %q: %w", dir, err)
	}
	return &Cache{dir: filepath.Join(path, CacheName), compress: compress.Version()}, nil
}

// compressor is all that makes a difference to what is made of a tar.
func (c *Cache) compressor(m compress.Method) (string, error) { return m.Identity(c.compress) }

// newFiles is a directory for files that are about to get into the cache. The caller must remove it.
func (c *Cache) newFiles() (*rootfs.Staging, error) {
	for _, name := range []string{partsName, packedName, blobsName} {
		if err := os.MkdirAll(filepath.Join(c.dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	return rootfs.NewStaging(c.dir, newName)
}
