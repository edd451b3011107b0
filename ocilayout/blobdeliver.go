package ocilayout

import (
	"context"
	"fmt"
	"io"
	"os"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// pushName is in the names of staging directories of images that will be in no layout.
const pushName = "push"

// OpenStaged makes ready to build an image that becomes part of no layout, but is delivered (see Options.Deliver).
// What is built meanwhile lies in a staging directory in dir, which is made if it does not exist.
// The caller must call Close, which removes all that; what killed runs left is removed here.
func OpenStaged(dir string, o Options) (*Layout, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open staging directory: %w", err)
	}
	if err := rootfs.CleanStaging(dir, pushName, nil); err != nil {
		return nil, fmt.Errorf("open staging directory: %w", err)
	}
	staging, err := rootfs.NewStaging(dir, pushName)
	if err != nil {
		return nil, err
	}
	return newLayout(staging, o)
}

// Blob is a blob that is ready to be delivered.
type Blob struct {
	ispec.Descriptor
	Reuse *BlobSource // the layer of a previous image that it is, or nil

	path string   // of its file, unless it is kept
	file *os.File // instead of a path
}

// Open reads it. Its digest is not checked; a kept one may not even have the right size.
func (b Blob) Open(ctx context.Context) (io.ReadCloser, error) {
	if b.Reuse != nil {
		return b.Reuse.open(ctx)
	}
	if b.file != nil {
		return io.NopCloser(io.NewSectionReader(b.file, 0, b.Size)), nil
	}
	return os.Open(b.path)
}

func (l *Layout) deliver(ctx context.Context, d ispec.Descriptor, kept *BlobSource) error {
	if l.options.Deliver == nil {
		return nil
	}
	return l.options.Deliver(ctx, Blob{Descriptor: d, Reuse: kept, path: l.engine.path(d.Digest)})
}

// Manifest is the bytes of an image's manifest that AddImage has described.
func (l *Layout) Manifest(image ispec.Descriptor) ([]byte, error) {
	b, err := os.ReadFile(l.engine.path(image.Digest))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return b, nil
}
