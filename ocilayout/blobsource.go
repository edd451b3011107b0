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

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// BlobSource is a blob of an existing image that another image uses unchanged: a layer, with any compression.
// If the image joins an index, its manifest and config are used so, too.
type BlobSource struct {
	Descriptor ispec.Descriptor
	DiffID     digest.Digest
	Entry      ispec.History // of a layer, in the history of its image
	Dir        string        // the layout that has the blob, if Open is nil

	// Open, if not nil, reads the blob from a registry.
	// It is called only if the blob is needed outside that registry.
	Open       func(context.Context) (io.ReadCloser, error)
	OpenRange  OpenRange // of the same registry, or nil
	Repository string    // in the registry that Open reads, with the registry's name
	// Evictable says that the blob is in a cache, which may delete it at any time.
	Evictable bool
	// Origin says in errors where the blob comes from. If it is empty, the image can be built without this blob.
	Origin string
}

// Chunked reports whether the descriptor of a layer says where its tables of zstd:chunked are.
func (s *BlobSource) Chunked() bool { return hasTables(s.Descriptor) }

func hasTables(d ispec.Descriptor) bool { return d.Annotations[chunked.AnnotationTOCDigest] != "" }

// Key identifies the content of a layer, like the key of a rootfs.Part, once the blob was read and checked.
// It includes the blob's digest: the diffID alone is a mere claim of the config.
// It includes the annotations, if there are any: a reader of the layer compares the tables that they name with the content.
func (s *BlobSource) Key() string {
	d := s.Descriptor
	key := fmt.Sprintf("layer %q %q %d %q", d.MediaType, d.Digest, d.Size, s.DiffID)
	if len(d.Annotations) > 0 {
		key += fmt.Sprintf(" %q", d.Annotations) // in the order of their names
	}
	return digest.FromString(key).String()
}

func (s *BlobSource) path() string { return filepath.Join(s.Dir, blobs, s.Descriptor.Digest.Encoded()) }

// addBlob puts a blob into the staged layout.
// Within one layout it links the blob, which moves no byte. It links a file from elsewhere as the cache does,
// and then hashes it, since nothing else will. If linking fails, it copies the blob and checks the copy.
// If the image is delivered, the blob stays where it is: the destination may have it already.
func (l *Layout) addBlob(ctx context.Context, s *BlobSource) (layerBlob, error) {
	b := layerBlob{Descriptor: s.Descriptor, diffID: s.DiffID}
	if s.Open == nil {
		if err := s.stat(); err != nil {
			return b, s.damaged(err)
		}
	}
	if l.options.Deliver != nil {
		return b, nil
	}
	if s.Open == nil && s.Dir == l.dir {
		err := os.Link(s.path(), l.engine.path(s.Descriptor.Digest))
		if err == nil || errors.Is(err, os.ErrExist) {
			return b, nil
		}
	}
	r, err := s.open(ctx)
	if err != nil {
		return b, s.damaged(err)
	}
	defer r.Close()
	if f, ok := r.(*os.File); ok && s.Descriptor.Size > 0 {
		if linked, err := l.linkBlob(ctx, s, f); linked || err != nil {
			return b, err
		}
	}
	return b, l.copyBlob(ctx, s, r)
}

// linkBlob makes a file a blob without copying it, and reports whether it could.
// It verifies the linked inode: the name may have been swapped since.
func (l *Layout) linkBlob(ctx context.Context, s *BlobSource, f *os.File) (linked bool, err error) {
	linked, err = l.engine.adopt(f.Name(), s.Descriptor.Digest, l.linkable)
	if !linked || err != nil {
		return false, nil // copying may still work
	}
	path := l.engine.path(s.Descriptor.Digest)
	blob, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer blob.Close()
	h := sha256.New()
	n, err := copyAll(ctx, io.Discard, io.LimitReader(blob, s.Descriptor.Size+1), h)
	if err == nil {
		err = s.check(n, digest.NewDigest(digest.SHA256, h))
	}
	if err != nil {
		return false, errors.Join(s.damaged(err), os.Remove(path))
	}
	return true, nil
}

func (l *Layout) copyBlob(ctx context.Context, s *BlobSource, r io.Reader) error {
	to, err := l.engine.newBlob()
	if err != nil {
		return err
	}
	defer to.discard()
	h := sha256.New()
	n, err := copyAll(ctx, to, io.LimitReader(r, s.Descriptor.Size+1), h)
	d := digest.NewDigest(digest.SHA256, h)
	if err == nil {
		err = s.check(n, d)
	}
	if err != nil {
		return s.damaged(err)
	}
	return to.commit(d)
}

// check compares the size and the digest of a blob with its descriptor. Callers read at most one byte more than the descriptor says.
func (s *BlobSource) check(n int64, d digest.Digest) error {
	switch {
	case n > s.Descriptor.Size:
		return fmt.Errorf("it has more than %d bytes", s.Descriptor.Size)
	case d != s.Descriptor.Digest:
		return fmt.Errorf("its digest is %s", d)
	}
	return nil
}

func (s *BlobSource) open(ctx context.Context) (io.ReadCloser, error) {
	if s.Open != nil {
		return s.Open(ctx)
	}
	return os.Open(s.path())
}

// stat checks that the blob exists and has the right size.
func (s *BlobSource) stat() error {
	fi, err := os.Stat(s.path())
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return fmt.Errorf("blob %s is no file", s.Descriptor.Digest)
	case fi.Size() != s.Descriptor.Size:
		return fmt.Errorf("blob %s has %d bytes instead of %d", s.Descriptor.Digest, fi.Size(), s.Descriptor.Size)
	}
	return nil
}

// damaged adds to an error where the blob is and whether the image can be built without it.
func (s *BlobSource) damaged(err error) error {
	err = &BlobError{s.Descriptor.Digest, err}
	if s.Origin != "" {
		return fmt.Errorf("take blob %s of %s: %w", s.Descriptor.Digest, s.Origin, err)
	}
	where := fmt.Sprintf("layout %q", s.Dir)
	if s.Open != nil {
		where = s.Repository
	}
	return fmt.Errorf("reuse blob %s of %s: %w; the image can be built without the previous one",
		s.Descriptor.Digest, where, err)
}
