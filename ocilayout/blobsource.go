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

// BlobSource is a blob of an image that is there already, to be used for another image as it is: a layer, whatever compressed it,
// or of an image that becomes part of an index, also its config.
type BlobSource struct {
	Descriptor ispec.Descriptor
	DiffID     digest.Digest
	Entry      ispec.History // of the image's history
	Dir        string        // the layout that has the blob

	// Open, if not nil, reads the blob from a repository in a registry, and Dir is empty.
	// It is called only where the blob has to be somewhere else.
	Open       func(context.Context) (io.ReadCloser, error)
	Repository string // with the registry's name
	// Evictable says that nobody needs the blob to stay where it is, so that it may be gone.
	Evictable bool
	// Of is whose it is, for people, if the new image cannot be without it.
	Of string
}

// Key promises what is in the layer once it has been read under the same key, as that of a rootfs.Part does.
// The diffID alone is only what a config claims of the blob.
func (k *BlobSource) Key() string {
	d := k.Descriptor
	return digest.FromString(fmt.Sprintf("layer %q %q %d %q", d.MediaType, d.Digest, d.Size, k.DiffID)).String()
}

func (k *BlobSource) path() string { return filepath.Join(k.Dir, blobs, k.Descriptor.Digest.Encoded()) }

// addBlob puts a layer's blob into the staged layout.
// Within one layout that is a link, as no byte moves. A file from elsewhere is linked as the cache does it,
// and then read, since nobody else will; what can't be linked is a copy, which is checked on the way.
// Where the image is delivered, who gets it may have the blob already: it stays where it is.
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

// linkBlob makes a file a blob without copying it, and says whether it could.
// What is checked is what has become the blob, not what the file's name leads to meanwhile.
func (l *Layout) linkBlob(ctx context.Context, k *BlobSource, f *os.File) (linked bool, err error) {
	linked, err = l.engine.adopt(f.Name(), k.Descriptor.Digest, l.linkable)
	if !linked || err != nil {
		return false, nil // a copy may still be possible
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

// check says what is wrong with a blob that has n bytes, or more than there should be, and the digest d.
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

// stat looks whether the blob is there.
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

// damaged says of a blob that cannot be used what can be done without it.
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
