package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// Options say how a layout is written. The zero value is right.
type Options struct {
	// Progress is called with the bytes of content written since the last call, from several goroutines.
	Progress func(bytes int64)
	// Sync flushes the file system once, before an image becomes visible.
	Sync bool
	// Cache, if not nil, gives layers that were built before, and keeps those that were not.
	// It makes no difference to an image.
	Cache *Cache
	// VerifyCache builds all layers, whatever the cache has.
	// It is an error if one differs from what the cache says it is.
	VerifyCache bool
	// Deliver, if not nil, is given each blob of an image but the manifest as soon as it is whole,
	// so that it is on its way while others are still built: the layers in any order, then the config.
	// Of an index it is given the manifests of its images, too, each after all that it names.
	// It is called in a goroutine of its own for each layer; an error of it is one of AddImage.
	Deliver func(context.Context, Blob) error
	// Record, if not nil, is told of each layer that is neither kept nor fetched what is known of it,
	// after it was delivered. It is called in a goroutine of its own for each.
	// Layers of which nothing promises the content are not told of.
	Record func(context.Context, Record, Blob)
	// Explain, if not nil, is told why the cache was of no use, for people, from several goroutines.
	Explain func(format string, args ...any)
}

// Layout is an image layout in which one image is about to become visible.
type Layout struct {
	dir        string // of the layout, absolute, no link; empty if it is only staged
	options    Options
	staging    *rootfs.Staging // nil when closed
	engine     *engine         // of a complete layout in the staging directory
	publishing bool            // or published
	linkable   bool            // a blob may be a hard link, as nobody else will own it
	results    []LayerResult   // of the last image
	lastImage  *PreviousImage  // the last image
	garbage    bool            // there is garbage in the layout, which the journal in the staging directory lists

	// Of a layout that is only for an archive, and has no directory of its own:
	file      string     // where the archive goes, absolute, no link; empty if it is a stream
	blobFiles *blobFiles // nil in other layouts
}

// The names in and of a staging directory.
const (
	insideName    = "image" // of staging directories that lie in the layout
	stagingLayout = "layout"
	journalName   = "journal"
)

// Open makes ready to write into an image layout: an existing one, whose other images are kept,
// or a new one, in a directory that is empty or does not exist. Any other directory is refused.
// The layout itself does not change before Publish, but what killed runs left of themselves is removed.
// The caller must call Close.
func Open(ctx context.Context, name string, o Options) (_ *Layout, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open layout %q: %w", name, err)
		}
	}()
	path, exists, err := resolve(name)
	if err != nil {
		return nil, err
	}
	parent, base := filepath.Split(path)
	if exists {
		if err := prepare(ctx, path); err != nil {
			return nil, err
		}
		parent, base = path, insideName
	} else if err := cleanBeside(path, nil); err != nil {
		return nil, err
	}
	staging, err := rootfs.NewStaging(parent, base)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(staging, o)
	if err != nil {
		return nil, err
	}
	if l.dir = path; exists {
		own, err := newOwner(path)
		l.linkable = err == nil && (own == nil || own.uid == os.Geteuid())
	}
	return l, nil
}

// newLayout begins a layout in a staging directory, which is removed if that cannot be.
func newLayout(staging *rootfs.Staging, o Options) (*Layout, error) {
	e, err := createEngine(filepath.Join(staging.Dir, stagingLayout))
	if err != nil {
		return nil, errors.Join(err, staging.Remove())
	}
	return &Layout{options: o, staging: staging, engine: e, linkable: true}, nil
}

// Close removes everything that was not published.
func (l *Layout) Close() error {
	if l.staging == nil {
		return nil
	}
	staging := l.staging
	l.staging = nil
	l.blobFiles.close()
	err := l.engine.Close()
	if l.garbage {
		return errors.Join(err, staging.Unlock())
	}
	return errors.Join(err, staging.Remove())
}

// resolve is where a layout really is, and whether something is there.
func resolve(name string) (path string, exists bool, err error) {
	if path, err = filepath.Abs(name); err != nil {
		return "", false, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		// The staging directory must be in the same file system, beyond the links.
		parent, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(parent, filepath.Base(path)), false, err
	}
	path, err = filepath.EvalSymlinks(path)
	return path, true, err
}

// prepare cleans up in and beside an existing directory and checks that it can be written as a layout.
func prepare(ctx context.Context, path string) (err error) {
	if fi, err := os.Stat(path); err != nil {
		return err
	} else if !fi.IsDir() {
		return fmt.Errorf("%w and is no directory", fs.ErrExist)
	}
	lock, err := rootfs.LockDir(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := clean(ctx, path); err != nil {
		return err
	}
	_, err = inspect(ctx, path)
	return err
}

// inspect says whether a directory is empty. If it is not, it is a layout, or else there is an error.
// Staging directories do not count.
func inspect(ctx context.Context, path string) (empty bool, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, err
	}
	empty = true
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+insideName+".export-profile-") { // see rootfs.NewStaging
			empty = false
		}
	}
	if empty {
		return true, nil
	}
	e, err := openEngine(path)
	if err == nil {
		_, err = e.GetIndex(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("%w and is neither empty nor an image layout: %w", fs.ErrExist, err)
	}
	return false, nil
}

func indexPath(dir string) string { return filepath.Join(dir, ispec.ImageIndexFile) }
