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

// engine is umoci's writer of a layout, without the traps it has in v0.6.0.
// Each has a test, which says what to take away here when umoci no longer has it:
//
//   - StatBlob looks for a blob relative to the working directory.
//   - The first PutBlobs race when they are called at the same time.
//   - PutBlob waits until each blob is on the disk, which doubles the time of large layers.
//   - Files get the mode of a temporary one, 0600, and directories what the umask leaves.
//   - Close closes twice when it is called twice, and its temporary directory lies in the layout until then.
//   - Casext's Walk, FromDescriptor and GetVerifiedBlob print to standard error, pass over manifests
//     of types they do not know, and panic on a manifest that was cut; see reachable, which is in their place.
//   - UpdateReference reads and writes the index without a lock, and whatever fields umoci does not know
//     are lost; see mergeIndex.
type engine struct {
	cas.Engine
	dir      string
	closed   bool
	noClones atomic.Bool // the file system was asked for one
}

// createEngine makes a new layout with an empty index in a directory that does not exist.
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

// openEngine opens a layout that exists. It writes nothing.
func openEngine(path string) (*engine, error) {
	e, err := dir.Open(path)
	if err != nil {
		return nil, err
	}
	return &engine{Engine: e, dir: path}, nil
}

// blobs is where a layout has its blobs, all of one algorithm.
const blobs = ispec.ImageBlobsDir + "/sha256"

func (e *engine) path(d digest.Digest) string {
	return filepath.Join(e.dir, blobs, d.Encoded())
}

// PutBlob stores what it reads. It may be called by several goroutines.
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

// newBlob is a blob without a name. The caller must call discard.
func (e *engine) newBlob() (*blobFile, error) {
	f, err := os.CreateTemp(filepath.Join(e.dir, ispec.ImageBlobsDir), ".tmp-")
	if err != nil {
		return nil, err
	}
	return &blobFile{f, e}, nil
}

type blobFile struct {
	*os.File
	engine *engine
}

// writePiece is how much is written to a file at once. For more, Linux looks for larger pieces of free memory
// to keep it in; a virtual machine may have given those back, and waits while its host zeroes them:
// an image of 2.3 GB took 8 to 10 s of system time in pieces of 1 MiB, 5 to 6 s in those of 128 KiB,
// and 2 to 3 s in those of 16 KiB. Where memory is at hand, small pieces cost 0.2 s a GB.
const writePiece = 16 << 10

func (b *blobFile) Write(p []byte) (n int, err error) {
	for len(p) > n && err == nil {
		var m int
		m, err = b.File.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	return n, err
}

// ReadFrom is there because the file's own would be taken, which copies in other pieces.
func (b *blobFile) ReadFrom(r io.Reader) (int64, error) {
	return copyAll(context.Background(), b, r, nil)
}

// commit gives the blob its name. Whether that is right is the caller's business.
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

// adopt makes a blob of a file without copying it, as a clone or, if it may, a link.
// It says whether it could. Whether the file is that blob is the caller's business.
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

// StatBlob says whether the layout has a blob.
func (e *engine) StatBlob(_ context.Context, d digest.Digest) (bool, error) {
	if err := checkDigest(d); err != nil {
		return false, err
	}
	_, err := os.Lstat(e.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// PutIndex replaces the index of a layout that nobody sees yet, since its mode is right only in the end.
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

// checkDigest refuses what cannot be a blob's name in a layout.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d, err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: unsupported algorithm", d)
	}
	return nil
}
