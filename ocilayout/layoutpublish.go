package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// Publish makes an image of AddImage visible under names.
// Each name becomes a descriptor in the index, and replaces the one with the same tag.
// Publish then deletes blobs that only replaced images needed. After an error the index is unchanged.
// What cannot be cleaned up after the image is visible is no error; Close reports it. Publish can be called once.
func (l *Layout) Publish(ctx context.Context, image ispec.Descriptor, names ...Name) (err error) {
	defer func() {
		if err != nil {
			l.explain(&err)
			err = fmt.Errorf("publish in layout %q: %w", l.dir, err)
		}
	}()
	if l.publishing || l.staging == nil {
		return errors.New("already published or closed")
	}
	if l.blobFiles != nil {
		return errors.New("it was opened for an archive")
	}
	if l.dir == "" {
		return errors.New("it was opened without a layout")
	}
	images, err := describe(image, names)
	if err != nil {
		return err
	}
	l.publishing = true
	live, err := l.finish(ctx, images)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err = l.publishNew()
	if errors.Is(err, fs.ErrExist) {
		err = l.publishInto(ctx, images, live)
	}
	return err
}

// finish completes the staged layout and returns its blobs. It deletes all others.
func (l *Layout) finish(ctx context.Context, images []ispec.Descriptor) (map[digest.Digest]bool, error) {
	live, err := reachable(ctx, l.engine, images)
	if err != nil {
		return nil, err
	}
	all, err := l.engine.ListBlobs(ctx)
	if err != nil {
		return nil, err
	}
	have := make(map[digest.Digest]bool)
	for _, d := range all {
		have[d] = true
		if !live[d] {
			if err := l.engine.DeleteBlob(ctx, d); err != nil {
				return nil, err
			}
		}
	}
	for d := range live {
		if !have[d] {
			return nil, fmt.Errorf("blob %s: %w", d, fs.ErrNotExist)
		}
	}
	if err := l.engine.PutIndex(ctx, ispec.Index{Manifests: images}); err != nil {
		return nil, err
	}
	return live, l.engine.Close() // its temporary directory would become visible
}

// publishNew renames the staged layout to its place. It returns fs.ErrExist if the place is taken.
func (l *Layout) publishNew() error {
	if _, err := os.Lstat(l.dir); err == nil || l.inside {
		return fs.ErrExist
	}
	if err := l.sync(); err != nil {
		return err
	}
	return l.staging.MoveNew(stagingLayout, filepath.Base(l.dir))
}

// publishInto moves the staged layout into an existing layout or an empty directory.
func (l *Layout) publishInto(ctx context.Context, images []ispec.Descriptor, live map[digest.Digest]bool) (err error) {
	lock, err := staging.Lock(ctx, l.dir)
	if err != nil {
		return err
	}
	defer func() {
		err = staging.Explain(err, lock)
		_ = staging.Unlock(lock)
	}()
	if l.inside && !l.staging.IsIn(lock) {
		return staging.ErrMoved
	}
	if err := clean(ctx, lock); err != nil { // another run may have been killed since Open
		return err
	}
	j, err := l.prepareMerge(ctx, staging.PathOf(lock, l.dir), images, live)
	if err != nil {
		return err
	}
	// From here on the layout changes. This takes little time and ignores cancellation.
	err = l.move(lock, live, j.Skeleton)
	// The next run sweeps what cannot be swept now. This does not affect the published image.
	l.garbage = j.sweep(context.WithoutCancel(ctx), lock)
	return err
}

// prepareMerge writes the future index of the layout into the staged one,
// and a journal of the coming changes.
func (l *Layout) prepareMerge(ctx context.Context, path string, images []ispec.Descriptor, live map[digest.Digest]bool) (*journal, error) {
	empty, err := inspect(ctx, path)
	if err != nil {
		return nil, err
	}
	j := &journal{Skeleton: empty}
	if !empty {
		old, err := os.ReadFile(indexPath(path))
		if err != nil {
			return nil, err
		}
		merged, replaced, err := mergeIndex(old, images)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(indexPath(l.engine.dir), merged, 0o644); err != nil {
			return nil, err
		}
		j.addBlobsOf(ctx, path, replaced)
	}
	for d := range live {
		if _, err := os.Lstat(filepath.Join(path, blobs, d.Encoded())); err != nil {
			j.Blobs = append(j.Blobs, d)
		}
	}
	return j, j.write(l.staging.Path)
}

// addBlobsOf adds to the journal the blobs of images that will leave the index.
// If an image cannot be followed, its blobs stay.
func (j *journal) addBlobsOf(ctx context.Context, path string, images []ispec.Descriptor) {
	e, err := openEngine(path)
	if err != nil {
		return
	}
	for _, d := range images {
		old, err := reachable(ctx, e, []ispec.Descriptor{d})
		if err != nil {
			continue
		}
		for d := range old {
			if CheckDigest(d) == nil {
				j.Blobs = append(j.Blobs, d)
			}
		}
	}
}

// move renames the staged files to their places in the open directory of the layout, the index last.
func (l *Layout) move(layout *os.File, live map[digest.Digest]bool, empty bool) (err error) {
	own, err := newOwner(staging.PathOf(layout, l.dir))
	if err != nil {
		return err
	}
	dirs, err := openDirs(layout, own)
	if err != nil {
		return err
	}
	defer dirs.close()
	for d := range live {
		if err := own.put(filepath.Join(l.engine.dir, blobs, d.Encoded()), dirs.blobs); err != nil {
			return err
		}
	}
	if empty {
		if err := own.put(filepath.Join(l.engine.dir, ispec.ImageLayoutFile), dirs.top); err != nil {
			return err
		}
	}
	if err := l.sync(); err != nil {
		return err
	}
	return own.put(indexPath(l.engine.dir), dirs.top)
}

func (l *Layout) sync() error {
	if !l.options.Sync {
		return nil
	}
	f, err := os.Open(l.staging.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
