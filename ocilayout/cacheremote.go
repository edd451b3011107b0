package ocilayout

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// remoteRecordName names the record of a blob that the cache fetched from a registry.
// It counts towards the size and age of the cache like a layer's record.
func remoteRecordName(d digest.Digest) string {
	return fmt.Sprintf("%s/%s.fetched", packedName, d.Encoded())
}

// ReadThrough wraps open so that each blob is fetched once and then read from the cache.
// Callers get only blobs that are complete and have the right digest. A blob that changed in the cache is fetched again.
// If the cache cannot store a blob, callers read it from open. A nil cache returns open itself.
func (c *Cache) ReadThrough(open OpenBlob) OpenBlob {
	if c == nil {
		return open
	}
	return func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		if err := CheckDigest(d.Digest); err != nil {
			return nil, err
		}
		if f, err := c.openRemote(ctx, d); err == nil {
			return f, nil
		}
		err := c.fetch(ctx, open, d)
		var remote *fetchError
		switch {
		case err == nil:
			if f, err := c.openRemote(ctx, d); err == nil {
				return f, nil
			}
		case errors.As(err, &remote):
			return nil, remote.error
		}
		return open(ctx, d)
	}
}

func (c *Cache) openRemote(ctx context.Context, d ispec.Descriptor) (*os.File, error) {
	var r blobRecord
	name := remoteRecordName(d.Digest)
	if err := c.load(name, &r); err != nil {
		return nil, err
	}
	if r.Digest != d.Digest || r.Size != d.Size {
		return nil, errNotCached // one of the two sizes is wrong; reading the blob will show which
	}
	return c.open(ctx, name, &r)
}

// fetchError is an error of the remote side, not of the cache.
type fetchError struct{ error }

func (e *fetchError) Unwrap() error { return e.error }

// fetch downloads a blob into the cache.
func (c *Cache) fetch(ctx context.Context, open OpenBlob, d ispec.Descriptor) (err error) {
	dir, err := c.newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	temp := filepath.Join(dir.Path, "blob")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := open(ctx, d)
	if err != nil {
		return &fetchError{err}
	}
	defer r.Close()
	from := &sourceReader{r: io.LimitReader(r, d.Size+1)}
	h := sha256.New()
	n, err := copyAll(ctx, f, from, h)
	switch got := digest.NewDigest(digest.SHA256, h); {
	case from.err != nil:
		return &fetchError{from.err}
	case err != nil:
		return err
	case n != d.Size || got != d.Digest:
		return &fetchError{fmt.Errorf("blob %s is damaged: it has %d of %d bytes, and the digest %s", d.Digest, n, d.Size, got)}
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	record, err := c.place(temp, "fetched", d.Digest, d.Size)
	if err != nil {
		return err
	}
	return c.store(dir.Path, remoteRecordName(d.Digest), record)
}

// sourceReader remembers read errors, to tell them from write errors.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
