package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// streamName is in the names of the directories of OpenTemporary.
const streamName = "stream"

// OpenTemporary makes ready to build an image that is for WriteArchive alone.
// Until Close, what is built lies in a new directory in parent, which should be on a disk and not in memory;
// what the cache has stays there. If parent is empty, it is the cache's own.
// What killed runs left there is removed.
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

func temporaryStaging(parent string, c *Cache) (*rootfs.Staging, error) {
	switch {
	case parent != "":
		if err := rootfs.CleanStaging(parent, streamName, nil); err != nil {
			return nil, err
		}
		return rootfs.NewStaging(parent, streamName)
	case c != nil:
		return c.newFiles()
	}
	return nil, errors.New("neither a directory nor a cache to put it into")
}

// OpenArchive makes ready to build an image that PublishArchive will write to a file, which may exist.
// Until Close, what is built lies beside the file; what the cache has stays there.
// What killed runs left of themselves is removed.
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

func openTemporary(staging *rootfs.Staging, file string, o Options) (*Layout, error) {
	l, err := newLayout(staging, o)
	if err == nil {
		l.file, l.blobFiles = file, &blobFiles{}
	}
	return l, err
}

// PublishArchive is WriteArchive to the file of OpenArchive.
// The file appears, or takes the place of another, when it is complete.
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

// blobFiles are blobs of a cache that a temporary layout uses where they are.
// They are open files, so that they are there even if the cache no longer has them.
type blobFiles struct {
	mu    sync.Mutex
	files map[digest.Digest]*os.File
}

// add takes a file over.
func (h *blobFiles) add(d digest.Digest, f *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = make(map[digest.Digest]*os.File)
	}
	if old := h.files[d]; old != nil {
		old.Close()
	}
	h.files[d] = f
}

// get is nil if there is no such blob.
func (h *blobFiles) get(d digest.Digest) *os.File {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.files[d]
}

func (h *blobFiles) close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.files {
		f.Close()
	}
	h.files = nil
}
