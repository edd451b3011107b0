package ocilayout

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// open opens a blob that has not changed since its record was written.
// If the blob may have changed, open hashes it. If it has, open removes the blob and its record.
func (c *Cache) open(ctx context.Context, name string, r *blobRecord) (_ *os.File, err error) {
	path := c.blob(r.Digest)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.forget(name)
		return nil, errNotCached
	}
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("blob %s is no file", r.Digest)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if fi, err = f.Stat(); err != nil {
		return nil, err
	}
	if fi.Size() != r.Size {
		c.discard(name, path)
		return nil, fmt.Errorf("blob %s has %d bytes instead of %d", r.Digest, fi.Size(), r.Size)
	}
	if fi.ModTime().UnixNano() == r.ModTime {
		return f, nil
	}
	h := sha256.New()
	if _, err := copyAll(ctx, io.Discard, f, h); err != nil {
		return nil, err
	}
	if d := digest.NewDigest(digest.SHA256, h); d != r.Digest {
		c.discard(name, path)
		return nil, fmt.Errorf("blob %s has changed and is %s", r.Digest, d)
	}
	r.ModTime = fi.ModTime().UnixNano()
	if dir, err := c.newFiles(); err == nil {
		_ = errors.Join(c.store(dir.Path, name, r), dir.Remove())
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

func (c *Cache) discard(name, path string) {
	c.forget(name)
	_ = os.Remove(path)
}

// keep records what a layer became, and keeps its blob, which is a file in a layout.
// An error only means that the cache lacks the layer.
func (c *Cache) keep(ctx context.Context, key string, b layerBlob, z compress.Method, file string, link bool) (err error) {
	compressor, err := c.compressor(z)
	if err != nil {
		return err
	}
	dir, err := c.newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	temp := filepath.Join(dir.Path, "blob")
	if err := putFile(ctx, temp, file, b.Size, link); err != nil {
		return err
	}
	r, err := c.place(temp, compressor, b.Digest, b.Size)
	if err != nil {
		return err
	}
	r.Annotations = b.Annotations
	if err := c.store(dir.Path, blobRecordName(b.diffID, z), r); err != nil {
		return err
	}
	tar := tarRecord{DiffID: b.diffID, Size: b.tarSize, Hashed: b.hashed}
	var had tarRecord
	if c.peek(key, &had) == nil && had.DiffID == tar.DiffID {
		tar.Hashed = mergeBits(tar.Hashed, had.Hashed) // the tar is the same: join what either run has hashed
	}
	return c.store(dir.Path, key, tar)
}

// place moves a file to the blobs, and returns the record of it.
func (c *Cache) place(file, compressor string, d digest.Digest, size int64) (r blobRecord, err error) {
	fi, err := os.Lstat(file)
	if err != nil {
		return r, err
	}
	return blobRecord{Compressor: compressor, Digest: d, Size: size, ModTime: fi.ModTime().UnixNano()}, os.Rename(file, c.blob(d))
}

// ErrOtherResult means that a layer that was built is not what the cache says of it; see Options.VerifyCache.
var ErrOtherResult = errors.New("verify cache")

// compare checks a layer that was built against what the cache says of it.
func (c *Cache) compare(ctx context.Context, key string, b layerBlob, z compress.Method) error {
	if tar, err := c.loadTar(key); err == nil && tar.DiffID != b.diffID {
		return fmt.Errorf("%w: the diffID is %s, and was %s", ErrOtherResult, b.diffID, tar.DiffID)
	}
	compressor, err := c.compressor(z)
	if err != nil {
		return nil
	}
	r, err := c.loadBlob(b.diffID, z)
	if err != nil || r.Compressor != compressor {
		return nil
	}
	if r.Digest != b.Digest {
		return fmt.Errorf("%w: the blob of diffID %s is %s, and was %s", ErrOtherResult, b.diffID, b.Digest, r.Digest)
	}
	if err := sameAnnotations(b.Annotations, r.Annotations); err != nil {
		return fmt.Errorf("%w: blob %s: %w", ErrOtherResult, b.Digest, err)
	}
	r.ModTime = -1 // forces open to hash it
	f, err := c.open(ctx, blobRecordName(b.diffID, z), &r)
	if err == errNotCached {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOtherResult, err)
	}
	return f.Close()
}
