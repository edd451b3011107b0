package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// streamName names the staging directories of OpenTemporary.
const streamName = "stream"

// OpenTemporary prepares to build an image for WriteArchive alone.
// Until Close the image lies in a new directory in parent, which should be on a disk and not in memory.
// If parent is empty, the directory is in the cache. Blobs of the cache are used where they are.
// OpenTemporary removes what killed runs left in parent.
func OpenTemporary(_ context.Context, parent string, o Options) (*Layout, error) {
	staging, err := temporaryStaging(parent, o.Cache)
	if err == nil {
		var l *Layout
		if l, err = openTemporary(staging, "", o); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("open temporary layout: %w", err)
}

func temporaryStaging(parent string, c *Cache) (*staging.Dir, error) {
	switch {
	case parent != "":
		if err := staging.Clean(parent, streamName, nil); err != nil {
			return nil, err
		}
		return staging.New(parent, streamName)
	case c != nil:
		return c.newFiles()
	}
	return nil, errors.New("want a directory or a cache to put it into")
}

// OpenArchive prepares to build an image that PublishArchive will write to a file, which may exist.
// Until Close the image lies beside the file. Blobs of the cache are used where they are.
// OpenArchive removes what killed runs left beside the file.
func OpenArchive(_ context.Context, file string, o Options) (*Layout, error) {
	path, staging, err := stageFile(file)
	if err == nil {
		var l *Layout
		if l, err = openTemporary(staging, path, o); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("open archive %q: %w", file, err)
}

func openTemporary(staging *staging.Dir, file string, o Options) (*Layout, error) {
	l, err := newLayout(staging, o)
	if err == nil {
		l.file, l.blobFiles = file, &blobFiles{}
	}
	return l, err
}

// PublishArchive writes the archive to the file of OpenArchive.
// The file appears, or replaces another one, when it is complete.
func (l *Layout) PublishArchive(ctx context.Context, image ispec.Descriptor, names []Name) (a ArchiveResult, err error) {
	if l.file == "" || l.staging == nil {
		return a, errors.New("publish archive: not opened for one, or closed")
	}
	err = publishFile(l.staging, l.file, l.options.Sync, func(f *os.File) (err error) {
		a, err = l.WriteArchive(ctx, f, image, names)
		return err
	})
	if err != nil {
		err = fmt.Errorf("publish %q: %w", l.file, err)
	}
	return a, err
}

// blobFiles holds the blobs that a temporary layout uses in the cache.
// It keeps them open, so that they outlive their removal from the cache.
type blobFiles struct {
	mu    sync.Mutex
	files map[digest.Digest]*os.File
}

// add takes ownership of f.
func (b *blobFiles) add(d digest.Digest, f *os.File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.files == nil {
		b.files = make(map[digest.Digest]*os.File)
	}
	if old := b.files[d]; old != nil {
		old.Close()
	}
	b.files[d] = f
}

// get returns nil if it does not hold the blob.
func (b *blobFiles) get(d digest.Digest) *os.File {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files[d]
}

func (b *blobFiles) close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.files {
		f.Close()
	}
	b.files = nil
}
