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

// BlobSource is a blob of an existing image that another image uses unchanged: a layer, with any compression,
// or also a config if the image joins an index.
type BlobSource struct {
	Descriptor ispec.Descriptor
	DiffID     digest.Digest
	Entry      ispec.History // of a layer, in the history of its image
	Dir        string        // the layout that has the blob, if Open is nil

	// Open, if not nil, reads the blob from a registry.
	// It is called only if the blob is needed elsewhere.
	Open       func(context.Context) (io.ReadCloser, error)
	Repository string // in the registry that Open reads, with the registry's name
	// Evictable says that the blob is in a cache, which may delete it at any time.
	Evictable bool
	// Of names the owner of the blob in errors. If it is empty, the image can be built without this blob.
	Of string
}

// Key identifies the content of a layer, like the key of a rootfs.Part, once the blob was read and checked.
// It includes the blob's digest: the diffID alone is a mere claim of the config.
func (k *BlobSource) Key() string {
	d := k.Descriptor
	return digest.FromString(fmt.Sprintf("layer %q %q %d %q", d.MediaType, d.Digest, d.Size, k.DiffID)).String()
}

func (k *BlobSource) path() string { return filepath.Join(k.Dir, blobs, k.Descriptor.Digest.Encoded()) }

// addBlob puts a blob into the staged layout.
// Within one layout it links the blob, as no byte moves. It links a file from elsewhere as the cache does,
// and then reads it, since nothing else will. If linking fails, it copies the blob and checks the copy.
// If the image is delivered, the blob stays where it is: the destination may have it already.
func (l *Layout) addBlob(ctx context.Context, k *BlobSource) (layerBlob, error) {
	b := layerBlob{Descriptor: k.Descriptor, diffID: k.DiffID}
	if k.Open == nil {
		if err := k.stat(); err != nil {
			return b, k.damaged(err)
		}
	}
	if l.options.Deliver != nil {
		return b, nil
	}
	if k.Open == nil && k.Dir == l.dir {
		err := os.Link(k.path(), l.engine.path(k.Descriptor.Digest))
		if err == nil || errors.Is(err, os.ErrExist) {
			return b, nil
		}
	}
	r, err := k.open(ctx)
	if err != nil {
		return b, k.damaged(err)
	}
	defer r.Close()
	if f, ok := r.(*os.File); ok && k.Descriptor.Size > 0 {
		if linked, err := l.linkBlob(ctx, k, f); linked || err != nil {
			return b, err
		}
	}
	return b, l.copyBlob(ctx, k, r)
}

// linkBlob makes a file a blob without copying it, and reports whether it could.
// It verifies the linked inode: the name may have been swapped since.
func (l *Layout) linkBlob(ctx context.Context, k *BlobSource, f *os.File) (linked bool, err error) {
	linked, err = l.engine.adopt(f.Name(), k.Descriptor.Digest, l.linkable)
	if !linked || err != nil {
		return false, nil // copying may still work
	}
	path := l.engine.path(k.Descriptor.Digest)
	blob, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer blob.Close()
	h := sha256.New()
	n, err := copyAll(ctx, io.Discard, io.LimitReader(blob, k.Descriptor.Size+1), h)
	if err == nil {
		err = k.check(n, digest.NewDigest(digest.SHA256, h))
	}
	if err != nil {
		return false, errors.Join(k.damaged(err), os.Remove(path))
	}
	return true, nil
}

func (l *Layout) copyBlob(ctx context.Context, k *BlobSource, r io.Reader) error {
	to, err := l.engine.newBlob()
	if err != nil {
		return err
	}
	defer to.discard()
	h := sha256.New()
	n, err := copyAll(ctx, to, io.LimitReader(r, k.Descriptor.Size+1), h)
	d := digest.NewDigest(digest.SHA256, h)
	if err == nil {
		err = k.check(n, d)
	}
	if err != nil {
		return k.damaged(err)
	}
	return to.commit(d)
}

// check compares the size and the digest of a blob with its descriptor. A size beyond the descriptor's counts as too large.
func (k *BlobSource) check(n int64, d digest.Digest) error {
	switch {
	case n > k.Descriptor.Size:
		return fmt.Errorf("it has more than %d bytes", k.Descriptor.Size)
	case d != k.Descriptor.Digest:
		return fmt.Errorf("its digest is %s", d)
	}
	return nil
}

func (k *BlobSource) open(ctx context.Context) (io.ReadCloser, error) {
	if k.Open != nil {
		return k.Open(ctx)
	}
	return os.Open(k.path())
}

// stat checks that the blob exists and has the right size.
func (k *BlobSource) stat() error {
	fi, err := os.Stat(k.path())
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("blob %s is no file", k.Descriptor.Digest)
	case fi.Size() != k.Descriptor.Size:
		return fmt.Errorf("blob %s has %d bytes instead of %d", k.Descriptor.Digest, fi.Size(), k.Descriptor.Size)
	}
	return nil
}

// damaged adds to an error where the blob is and whether the image can be built without it.
func (k *BlobSource) damaged(err error) error {
	if k.Of != "" {
		return fmt.Errorf("take blob %s of %s: %w", k.Descriptor.Digest, k.Of, err)
	}
	where := fmt.Sprintf("layout %q", k.Dir)
	if k.Open != nil {
		where = k.Repository
	}
	return fmt.Errorf("reuse blob %s of %s: %w; the image can be built without the previous one",
		k.Descriptor.Digest, where, err)
}
