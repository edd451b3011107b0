package ocilayout

import (
	"context"
	"encoding/json"
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

// journal lists what may be garbage in a layout if its run is killed:
// the blobs of the image that was about to be published, and those of the images to be replaced.
// The index of the layout later decides which of them are garbage.
type journal struct {
	// Skeleton says that the directory was empty.
	// Then everything in it comes from this run, except an index written since.
	Skeleton bool            `json:"skeleton"`
	Blobs    []digest.Digest `json:"blobs"`
}

// write writes the journal to a staging directory, atomically.
func (j *journal) write(staging string) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	temp := filepath.Join(staging, journalName+".new")
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(staging, journalName))
}

func readJournal(staging string) (*journal, error) {
	b, err := os.ReadFile(filepath.Join(staging, journalName))
	if err != nil {
		return nil, err
	}
	j := &journal{}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("parse journal: %w", err)
	}
	for _, d := range j.Blobs {
		if err := CheckDigest(d); err != nil {
			return nil, fmt.Errorf("parse journal: %w", err)
		}
	}
	return j, nil
}

// clean removes what killed runs left in and beside a layout. The caller has opened and locked it.
func clean(ctx context.Context, layout *os.File) error {
	undo := func(staging string) error { return undo(ctx, layout, staging) }
	if err := staging.CleanIn(layout, insideName, undo); err != nil {
		return err
	}
	err := cleanBeside(layout.Name(), undo)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a user who may write only in the layout cannot see what is beside it
	}
	return err
}

func cleanBeside(path string, undo func(string) error) error {
	parent, base := filepath.Split(path)
	return staging.Clean(parent, base, undo)
}

// undo removes from a layout what the run of a staging directory put there,
// except what an image needs by now. The caller holds the layout's lock.
func undo(ctx context.Context, layout *os.File, staging string) error {
	j, err := readJournal(staging)
	if err != nil {
		return nil // the run was not about to publish; or the machine crashed, and nothing is certain
	}
	return j.sweep(ctx, layout)
}

// sweep deletes the listed blobs that are garbage. In doubt, it deletes nothing.
func (j *journal) sweep(ctx context.Context, layout *os.File) error {
	dirs, err := findDirs(layout)
	if err != nil {
		return nil // a link: other layouts may share the blobs
	}
	defer dirs.close()
	path := staging.PathOf(layout, layout.Name())
	if _, err := os.Lstat(indexPath(path)); errors.Is(err, fs.ErrNotExist) {
		if j.Skeleton {
			return j.sweepSkeleton(dirs)
		}
		return nil
	}
	e, err := openEngine(path)
	if err != nil {
		return nil
	}
	index, err := e.GetIndex(ctx)
	if err != nil {
		return nil
	}
	live, err := reachable(ctx, e, index.Manifests)
	if err != nil {
		return nil
	}
	for _, d := range j.Blobs {
		if !live[d] {
			if err := removeFrom(dirs.blobs, d.Encoded(), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepSkeleton removes a layout that never got its index.
func (j *journal) sweepSkeleton(dirs *layoutDirs) error {
	for _, d := range j.Blobs {
		if err := removeFrom(dirs.blobs, d.Encoded(), 0); err != nil {
			return err
		}
	}
	for _, file := range []struct {
		in    *os.File
		name  string
		flags int
	}{
		{dirs.top, ispec.ImageLayoutFile, 0},
		{dirs.all, filepath.Base(blobs), unix.AT_REMOVEDIR},
		{dirs.top, ispec.ImageBlobsDir, unix.AT_REMOVEDIR},
	} {
		err := removeFrom(file.in, file.name, file.flags)
		switch {
		case err == nil:
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, fs.ErrExist):
			return nil // blobs of another program
		default:
			return err
		}
	}
	return nil
}

// removeFrom removes a name from an open directory, if both exist.
func removeFrom(dir *os.File, name string, flags int) error {
	if dir == nil {
		return nil
	}
	err := unix.Unlinkat(int(dir.Fd()), name, flags)
	for err == unix.EINTR {
		err = unix.Unlinkat(int(dir.Fd()), name, flags)
	}
	if err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "remove", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return nil
}
