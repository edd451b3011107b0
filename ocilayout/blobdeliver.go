package ocilayout

import (
	"context"
	"fmt"
	"io"
	"os"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// pushName names the staging directories of images that no layout will hold.
const pushName = "push"

// OpenStaged prepares to build an image that is delivered blob by blob (see Options.Deliver) and joins no layout.
// Until Close the image lies in a staging directory in dir, which is created if necessary.
// The caller must call Close. OpenStaged removes what killed runs left in dir.
func OpenStaged(dir string, o Options) (*Layout, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open staging directory: %w", err)
	}
	if err := staging.Clean(dir, pushName, nil); err != nil {
		return nil, fmt.Errorf("open staging directory: %w", err)
	}
	staging, err := staging.New(dir, pushName)
	if err != nil {
		return nil, err
	}
	return newLayout(staging, o)
}

// Blob is a blob that is ready to be delivered.
type Blob struct {
	ispec.Descriptor
	Reuse *BlobSource // where the blob comes from if it was not made here, or nil

	path string   // of a blob that was made here
	file *os.File // an open file, used instead of path
}

// Open opens the blob. It checks no digest; a blob of another image may even have the wrong size.
func (b Blob) Open(ctx context.Context) (io.ReadCloser, error) {
	if b.Reuse != nil {
		return b.Reuse.open(ctx)
	}
	if b.file != nil {
		return io.NopCloser(io.NewSectionReader(b.file, 0, b.Size)), nil
	}
	return os.Open(b.path)
}

func (l *Layout) deliver(ctx context.Context, d ispec.Descriptor, reuse *BlobSource) error {
	if l.options.Deliver == nil {
		return nil
	}
	return l.options.Deliver(ctx, Blob{Descriptor: d, Reuse: reuse, path: l.engine.path(d.Digest)})
}

// Manifest returns the manifest of an image that AddImage has built.
func (l *Layout) Manifest(image ispec.Descriptor) ([]byte, error) {
	b, err := os.ReadFile(l.engine.path(image.Digest))
	if err != nil {
		l.explain(&err)
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return b, nil
}
