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
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/cas"
	"github.com/opencontainers/umoci/oci/cas/dir"
)

// engine is umoci's writer of layouts without the traps of v0.6.0.
// A test covers each trap and says what to remove here once umoci has mended it:
//
//   - StatBlob looks for a blob relative to the working directory.
//   - The first PutBlobs race when they are called at the same time.
//   - PutBlob waits until each blob is on the disk, which doubles the time of large layers.
//   - Files get the mode of a temporary one, 0600, and directories what the umask leaves.
//   - A second Close closes again. Until Close, umoci's temporary directory lies in the layout.
//   - Casext's Walk, FromDescriptor and GetVerifiedBlob print to standard error, ignore manifests
//     of unknown types, and panic on a truncated manifest; we use reachable instead.
//   - UpdateReference reads and writes the index without a lock, and drops fields that umoci does not know;
//     we use mergeIndex instead.
type engine struct {
	cas.Engine
	dir      string
	closed   bool
	noClones atomic.Bool // the file system refused to clone a file
}

// createEngine makes a new layout with an empty index. The directory must not exist.
func createEngine(path string) (*engine, error) {
	if err := dir.Create(path); err != nil {
		return nil, err
	}
	for _, name := range []string{".", ispec.ImageBlobsDir, blobs} {
		if err := os.Chmod(filepath.Join(path, name), 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{ispec.ImageLayoutFile, ispec.ImageIndexFile} {
		if err := os.Chmod(filepath.Join(path, name), 0o644); err != nil {
			return nil, err
		}
	}
	return openEngine(path)
}

// openEngine opens an existing layout. It writes nothing.
func openEngine(path string) (*engine, error) {
	e, err := dir.Open(path)
	if err != nil {
		return nil, err
	}
	return &engine{Engine: e, dir: path}, nil
}

// blobs is the directory of a layout's blobs. All have digests of one algorithm.
const blobs = ispec.ImageBlobsDir + "/sha256"

func (e *engine) path(d digest.Digest) string {
	return filepath.Join(e.dir, blobs, d.Encoded())
}

// PutBlob stores a blob. Several goroutines may call it.
func (e *engine) PutBlob(_ context.Context, r io.Reader) (digest.Digest, int64, error) {
	f, err := e.newBlob()
	if err != nil {
		return "", 0, err
	}
	defer f.discard()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return "", 0, err
	}
	d := digest.NewDigest(digest.SHA256, h)
	return d, n, f.commit(d)
}

// newBlob makes a blob without a name. The caller must call discard.
// The blob lies beside the layout, in the staging directory: if it cannot be removed, no reader of the layout sees it.
func (e *engine) newBlob() (*blobFile, error) {
	f, err := os.CreateTemp(filepath.Dir(e.dir), ".tmp-")
	if err != nil {
		return nil, err
	}
	return &blobFile{f, e}, nil
}

type blobFile struct {
	*os.File
	engine *engine
}

// writePiece is the size of writes to a file. For larger ones, Linux looks for larger pieces of free memory to cache them.
// A virtual machine may have returned those to its host, and waits while the host zeroes them:
// an image of 2.3 GB took 8 to 10 s of system time in pieces of 1 MiB, 5 to 6 s in those of 128 KiB,
// and 2 to 3 s in those of 16 KiB. With memory at hand, small pieces cost 0.2 s a GB.
const writePiece = 16 << 10

func (b *blobFile) Write(p []byte) (n int, err error) {
	for len(p) > n && err == nil {
		var m int
		m, err = b.File.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	return n, err
}

// ReadFrom hides that of os.File, which would copy in larger pieces.
func (b *blobFile) ReadFrom(r io.Reader) (int64, error) {
	return copyAll(context.Background(), b, r, nil)
}

// commit gives the blob its name. The caller vouches for the digest.
func (b *blobFile) commit(d digest.Digest) error {
	if err := b.Chmod(0o644); err != nil {
		return err
	}
	if err := b.Close(); err != nil {
		return err
	}
	return os.Rename(b.Name(), b.engine.path(d))
}

// discard removes the file unless it became a blob.
func (b *blobFile) discard() {
	b.Close()
	os.Remove(b.Name())
}

// adopt makes a file a blob without copying it, by a clone or, if link is set, a hard link.
// It reports whether it could. The caller vouches for the digest.
func (e *engine) adopt(name string, d digest.Digest, link bool) (bool, error) {
	if !e.noClones.Load() {
		if ok, err := e.clone(name, d); ok || err != nil {
			return ok, err
		}
	}
	if !link || !linkable(name) {
		return false, nil
	}
	err := os.Link(name, e.path(d))
	return err == nil || errors.Is(err, fs.ErrExist), nil
}

func (e *engine) clone(name string, d digest.Digest) (bool, error) {
	f, err := e.newBlob()
	if err != nil {
		return false, err
	}
	defer f.discard()
	err = cloneFile(f.File, name)
	if err == nil {
		return true, f.commit(d)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		e.noClones.Store(true)
	}
	return false, nil
}

// StatBlob reports whether the layout has a blob.
func (e *engine) StatBlob(_ context.Context, d digest.Digest) (bool, error) {
	if err := CheckDigest(d); err != nil {
		return false, err
	}
	_, err := os.Lstat(e.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// PutIndex replaces the index. The layout must not be visible yet, because the index gets its mode afterwards.
func (e *engine) PutIndex(ctx context.Context, index ispec.Index) error {
	index.SchemaVersion = 2
	if err := e.Engine.PutIndex(ctx, index); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(e.dir, ispec.ImageIndexFile), 0o644)
}

// Close removes umoci's temporary directory. It may be called again.
func (e *engine) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	return e.Engine.Close()
}

// CheckDigest refuses digests that cannot name a blob in our layouts, and that this program does not compute.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: unsupported algorithm", d)
	}
	return nil
}
