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
	"slices"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// A blob is a hard link to that of the layout for which it was built, so whatever changes one changes the other.
// Writing changes the modification time, which the cache looks at; a failing disk or memory does not.
// Cache.Verify and Cache.Recheck hash what is there.

// BlobError is an error about the content of a blob.
// If the blob came from a cache, [Cache.Recheck] tells whether the cache is at fault.
type BlobError struct {
	Digest digest.Digest
	Err    error
}

func (e *BlobError) Error() string { return e.Err.Error() }

func (e *BlobError) Unwrap() error { return e.Err }

// Damage is a file of the cache that Verify has removed.
type Damage struct {
	File   string `json:"file"` // its path in the directory of the cache
	What   string `json:"what"`
	Shared bool   `json:"shared,omitempty"` // a blob that layouts share by a hard link
}

func (d Damage) String() string { return d.File + ": " + d.What }

// Verify hashes all records and blobs again, removes those that are damaged, and lists them.
// It returns what remains. Progress, if not nil, receives the bytes of blobs hashed since the last call.
// It may be called while other runs use the cache.
func (c *Cache) Verify(ctx context.Context, progress func(bytes int64)) (Usage, []Damage, error) {
	damage, err := c.verify(ctx, progress)
	var u Usage
	if err == nil {
		u, err = c.Usage()
	}
	if err != nil {
		err = fmt.Errorf("verify cache: %w", err)
	}
	return u, damage, err
}

func (c *Cache) verify(ctx context.Context, progress func(int64)) (damage []Damage, err error) {
	if err := staging.Clean(c.dir, newName, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s, err := c.scan(ctx)
	if err != nil {
		return nil, err
	}
	drop := func(f cacheFile, kind, what string) error {
		fi, err := os.Lstat(f.path)
		shared := kind == blobsName && f.links > 1 && err == nil && fi.Mode().IsRegular()
		damage = append(damage, Damage{File: filepath.Join(CacheName, kind, f.name), What: what, Shared: shared})
		return removeFile(f.path)
	}
	// As in prune, records go before blobs.
	byBlob := make(map[string][]blobClaim)
	for _, f := range s.tars {
		var r tarRecord
		err := c.peek(filepath.Join(partsName, f.name), &r)
		if err == nil {
			err = CheckDigest(r.DiffID)
		}
		if isDamage(err) {
			err = drop(f, partsName, err.Error())
		}
		if err != nil && err != errNotCached {
			return damage, err
		}
	}
	for _, f := range s.packed {
		var r blobRecord
		err := c.peek(filepath.Join(packedName, f.name), &r)
		if err == nil {
			err = r.checkNamed(f.name)
		}
		switch {
		case err == nil:
			byBlob[r.Digest.Encoded()] = append(byBlob[r.Digest.Encoded()], blobClaim{f, r})
		case isDamage(err):
			if err := drop(f, packedName, err.Error()); err != nil {
				return damage, err
			}
		case err != errNotCached:
			return damage, err
		}
	}
	for _, f := range s.blobs {
		err := checkBlob(ctx, f, progress)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err == nil {
			for _, claim := range byBlob[f.name] {
				err := claim.record.prove(f)
				if isDamage(err) {
					err = drop(claim.file, packedName, err.Error())
				}
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return damage, err
				}
			}
			continue
		}
		if !isDamage(err) {
			return damage, err
		}
		for _, claim := range byBlob[f.name] {
			if err := removeFile(claim.file.path); err != nil {
				return damage, err
			}
		}
		if err := drop(f, blobsName, err.Error()); err != nil {
			return damage, err
		}
	}
	slices.SortFunc(damage, func(a, b Damage) int { return strings.Compare(a.File, b.File) })
	return damage, nil
}

// blobClaim is a record of a blob and its file.
type blobClaim struct {
	file   cacheFile
	record blobRecord
}

// checkNamed refuses a record that does not describe a blob made by the method in the record's name.
// Other versions of this program may know other methods.
func (r blobRecord) checkNamed(name string) error {
	_, word, _ := strings.Cut(name, ".")
	if z, err := compress.Parse(word); err == nil {
		return r.check(z)
	}
	return CheckDigest(r.Digest)
}

// prove compares the location of the tables, if the record has one, with the blob.
func (r blobRecord) prove(f cacheFile) error {
	tables, err := chunked.ParseAnnotations(r.Annotations, f.size)
	if err != nil || tables == (chunked.Location{}) {
		return err
	}
	blob, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer blob.Close()
	return proveTables(blob, f.size, tables)
}

// isDamage reports whether an error says that a file of the cache is damaged, or that its disk cannot read it.
func isDamage(err error) bool {
	var path *fs.PathError
	if err == nil || err == errNotCached || errors.Is(err, context.Canceled) {
		return false
	}
	return !errors.As(err, &path) || errors.Is(err, syscall.EIO)
}

// checkBlob hashes a blob of the cache.
func checkBlob(ctx context.Context, f cacheFile, progress func(int64)) error {
	want := digest.NewDigestFromEncoded(digest.SHA256, f.name)
	if CheckDigest(want) != nil {
		return errors.New("its name is no digest")
	}
	if fi, err := os.Lstat(f.path); err != nil {
		return err
	} else if !fi.Mode().IsRegular() {
		return errors.New("it is no file")
	}
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := copyAll(ctx, io.Discard, r, h)
	if progress != nil {
		progress(n)
	}
	if cause := context.Cause(ctx); cause != nil {
		return &fs.PathError{Op: "read", Path: f.path, Err: cause}
	}
	if err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, h); got != want {
		return fmt.Errorf("its digest is %s", got)
	}
	return nil
}

// recheck is Recheck for the blob of a record.
func (c *Cache) recheck(ctx context.Context, record string) {
	var r blobRecord
	if c.peek(record, &r) == nil && c.Recheck(ctx, r.Digest) {
		c.forget(record)
	}
}

// Recheck hashes the blob of a digest that a reader has found damaged, or that a registry has refused.
// If the cache has the blob, and it is damaged, Recheck removes it, so that the next run makes or fetches it again.
// A nil cache has no blobs.
func (c *Cache) Recheck(ctx context.Context, d digest.Digest) (removed bool) {
	if c == nil || CheckDigest(d) != nil {
		return false
	}
	f := cacheFile{path: c.blob(d), name: d.Encoded()}
	err := checkBlob(ctx, f, nil)
	return isDamage(err) && removeFile(f.path) == nil
}
