package ocilayout

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// Cache keeps layers between runs, in a directory:
//
//	CACHEDIR.TAG                        tells backups to skip the directory
//	layers-1/parts/KEY                  record: the diffID and size of the tar of some parts
//	layers-1/packed/DIFFID.COMPRESSION  record: the digest and size of the blob of that tar
//	layers-1/blobs/DIGEST               the blob
//	layers-1/trimmed                    its modification time says when the cache was last trimmed
//
// KEY is a hash of the keys of the parts (see rootfs.Part) and of the version of our tar format.
// A record is a line of JSON, and a line with the hash of that line and of the record's name.
// The 1 is the version of this scheme. Cache ignores all other files in the directory.
//
// Some parts prove their key only while they are walked (rootfs.Part.Unproven). A layer with such a part
// comes from the cache only if that part was hashed when the layer was made: a user who asks
// for the store to be verified gets nothing that was made of it unverified.
//
// A cache only saves time. If something in it is missing, damaged or cannot be written, a run takes longer,
// with the same result. It may be deleted at any time. Several runs may use it at once:
// every file appears complete, by a rename, and a blob appears before the records that refer to it.
//
// Blobs are hard links to those of layouts in the same file system, if owner and mode are equal,
// and otherwise clones or copies. Before it uses a blob, Cache compares its size and modification time with those
// that it had when it was hashed, since every write changes the time. If they differ, Cache hashes the blob again.
// Options.VerifyCache finds what a disk has changed by itself.
type Cache struct {
	dir      string
	compress string // version of the compressors' module; empty if unknown
}

const (
	partsName  = "parts"
	packedName = "packed"
	blobsName  = "blobs"

	// newName names the directories in which files are made.
	// Each is locked by its run, so that the next run can remove those of killed runs.
	newName = "new"
)

// CacheName is the directory of the layers within a cache.
const CacheName = "layers-1"

// CacheTag is the file that https://bford.info/cachedir/ asks for.
const CacheTag = "CACHEDIR.TAG"

const cacheTag = `Signature: 8a477f597d28d172789f06886806bc55
# This directory is the cache of export-profile. It can be deleted at any time.
`

// OpenCache opens the cache in a directory, and creates the directory if necessary.
// It fails if dir cannot be created or is not a directory.
// A cache that cannot be written to still supplies what it has.
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
	if f, err := os.OpenFile(tag, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil { // it follows no link
		_, _ = f.WriteString(cacheTag)
		_ = f.Close()
	}
	_ = staging.Clean(c.dir, newName, nil)
	return c, nil
}

// FindCache opens the cache in an existing directory, for [Cache.Usage] and [Cache.Prune]. It writes nothing.
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

// compressor identifies everything that decides which blob is made of a tar.
func (c *Cache) compressor(m compress.Method) (string, error) { return m.Identity(c.compress) }

// CacheParts lists the directories in a cache that hold layers and their records.
func CacheParts() (dirs []string) {
	for _, name := range []string{partsName, packedName, blobsName} {
		dirs = append(dirs, filepath.Join(CacheName, name))
	}
	return dirs
}

// newFiles makes a directory for new files of the cache. The caller must remove it.
func (c *Cache) newFiles() (*staging.Dir, error) {
	for _, name := range []string{partsName, packedName, blobsName} {
		if err := os.MkdirAll(filepath.Join(c.dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	return staging.New(c.dir, newName)
}
