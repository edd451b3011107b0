package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// Options control how images are written. The zero value is ready to use.
type Options struct {
	// Progress is called from several goroutines, with the bytes of content written since the last call.
	Progress func(bytes int64)
	// Sync flushes the file system once, before an image becomes visible.
	Sync bool
	// Cache, if not nil, supplies layers that were built before, and keeps the others.
	// It never changes an image.
	Cache *Cache
	// VerifyCache builds all layers, even those in the cache.
	// It is an error if one differs from what the cache says.
	VerifyCache bool
	// Deliver, if not nil, receives each blob of an image except its manifest as soon as the blob is complete,
	// so that it can be sent while other layers are still built: first the layers in any order, then the config.
	// For an index it also receives the manifests of the images, each after the blobs that it names.
	// Deliver is called in a goroutine for each layer. AddImage returns its errors.
	Deliver func(context.Context, Blob) error
	// Record, if not nil, is called after a layer was built or taken from the cache, and delivered, with what is known of the layer.
	// It is called in a goroutine for each layer. It is not called for reused or fetched layers,
	// nor for layers that have a part without a key.
	Record func(context.Context, Record, Blob)
	// Explain, if not nil, receives reasons, for people, why the cache did not help.
	// It is called from several goroutines.
	Explain func(format string, args ...any)
}

// Layout is an image layout that is about to get one more image.
type Layout struct {
	dir        string // absolute, without links; empty if the image joins no layout
	inside     bool   // the staging directory is in dir, not beside it
	options    Options
	staging    *staging.Dir   // nil after Close
	engine     *engine        // writes a complete layout in the staging directory
	publishing bool           // or published
	linkable   bool           // a blob may be a hard link, since it will have no other owner
	results    []LayerResult  // of the last image
	lastImage  *PreviousImage // for LastImage
	garbage    error          // why the layout still holds garbage, which the journal in the staging directory lists

	// Only in a layout for an archive, which has no directory of its own:
	file      string     // absolute, without links; empty if the archive goes to a stream
	blobFiles *blobFiles // nil in other layouts
}

// Names of staging directories, and of files in them.
const (
	insideName    = "image" // of staging directories within the layout
	stagingLayout = "layout"
	journalName   = "journal"
)

// Open prepares to add an image to a layout. The layout may exist, and keeps its other images;
// or it is new, in a directory that is empty or does not exist. Open refuses other directories.
// It removes what killed runs left. Nothing else in the layout changes before Publish.
// The caller must call Close.
func Open(ctx context.Context, name string, o Options) (_ *Layout, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open layout %q: %w", name, err)
		}
	}()
	path, exists, err := resolveOutput(name)
	if err != nil {
		return nil, err
	}
	var temp *staging.Dir
	if exists {
		temp, err = prepare(ctx, path)
	} else if err = cleanBeside(path, nil); err == nil {
		temp, err = staging.New(filepath.Split(path))
	}
	if err != nil {
		return nil, err
	}
	l, err := newLayout(temp, o)
	if err != nil {
		return nil, err
	}
	if l.dir, l.inside = path, exists; exists {
		own, err := newOwner(path)
		l.linkable = err == nil && (own == nil || own.uid == os.Geteuid())
	}
	return l, nil
}

// newLayout makes a layout in a staging directory, and removes the directory if that fails.
func newLayout(staging *staging.Dir, o Options) (*Layout, error) {
	e, err := createEngine(filepath.Join(staging.Path, stagingLayout))
	if err != nil {
		return nil, errors.Join(staging.Explain(err), staging.Remove())
	}
	return &Layout{options: o, staging: staging, engine: e, linkable: true}, nil
}

// Close removes everything that was not published. Its error changes nothing about an image that was:
// it is a [*staging.LeftError], which names what the next run with the same destination removes.
func (l *Layout) Close() error {
	if l.staging == nil {
		return nil
	}
	temp := l.staging
	l.staging = nil
	l.blobFiles.close()
	_ = l.engine.Close() // its temporary directory is in the staging directory
	if l.garbage != nil {
		_ = temp.Unlock()
		return &staging.LeftError{Path: l.dir, Err: fmt.Errorf("unused blobs: %w", l.garbage)}
	}
	return temp.Remove()
}

// explain names the staging directory in an error as people know it.
func (l *Layout) explain(err *error) {
	if l.staging != nil {
		*err = l.staging.Explain(*err)
	}
}

// resolve returns the real path of a layout or a file, and whether it exists.
func resolve(name string) (path string, exists bool, err error) {
	if path, err = filepath.Abs(name); err != nil {
		return "", false, err
	}
	fi, err := os.Lstat(path)
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		path, err = filepath.EvalSymlinks(path)
		return path, true, err
	}
	exists = !errors.Is(err, fs.ErrNotExist)
	// The staging directory must be in the same file system, beyond the links.
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), exists, err
}

// resolveOutput is resolve for a layout or a file that is about to change. It follows no link of another user except root:
// no other user may choose where files go.
func resolveOutput(name string) (path string, exists bool, err error) {
	if fi, err := os.Lstat(strings.TrimRight(name, "/")); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		if uid := int(fi.Sys().(*syscall.Stat_t).Uid); uid != os.Geteuid() && uid != 0 {
			return "", false, fmt.Errorf("it is a link of user %d: %w", uid, fs.ErrPermission)
		}
	}
	return resolve(name)
}

// prepare removes what killed runs left in and beside a directory, checks that it can hold a layout,
// and makes a staging directory in it.
func prepare(ctx context.Context, path string) (*staging.Dir, error) {
	if fi, err := os.Stat(path); err != nil {
		return nil, err
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("%w and is no directory", fs.ErrExist)
	}
	lock, err := staging.Lock(ctx, path)
	if err != nil {
		return nil, err
	}
	defer staging.Unlock(lock)
	if err := clean(ctx, lock); err != nil {
		return nil, err
	}
	if _, err = inspect(ctx, staging.PathOf(lock, path)); err != nil {
		return nil, staging.Explain(err, lock)
	}
	return staging.NewIn(lock, insideName)
}

// inspect reports whether a directory is empty. If not, it must be a layout.
// Staging directories do not count.
func inspect(ctx context.Context, path string) (empty bool, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false, err
	}
	empty = true
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+insideName+".export-profile-") { // see staging.New
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
