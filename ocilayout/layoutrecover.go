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
		if err := checkDigest(d); err != nil {
			return nil, fmt.Errorf("parse journal: %w", err)
		}
	}
	return j, nil
}

// clean removes what killed runs left in and beside a layout. The caller holds its lock.
func clean(ctx context.Context, path string) error {
	undo := func(staging string) error { return undo(ctx, path, staging) }
	if err := staging.Clean(path, insideName, undo); err != nil {
		return err
	}
	err := cleanBeside(path, undo)
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
func undo(ctx context.Context, path, staging string) error {
	j, err := readJournal(staging)
	if err != nil {
		return nil // the run was not about to publish; or the machine crashed, and nothing is certain
	}
	return j.sweep(ctx, path)
}

// sweep deletes the listed blobs that are garbage. In doubt, it deletes nothing.
func (j *journal) sweep(ctx context.Context, path string) error {
	for _, name := range []string{ispec.ImageBlobsDir, blobs} {
		fi, err := os.Lstat(filepath.Join(path, name))
		if err == nil && !fi.IsDir() {
			return nil // a link: other layouts may share the blobs
		}
	}
	if _, err := os.Lstat(indexPath(path)); errors.Is(err, fs.ErrNotExist) {
		if j.Skeleton {
			return j.sweepSkeleton(path)
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
			if err := e.DeleteBlob(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepSkeleton removes a layout that never got its index.
func (j *journal) sweepSkeleton(path string) error {
	for _, d := range j.Blobs {
		err := os.Remove(filepath.Join(path, blobs, d.Encoded()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	for _, name := range []string{ispec.ImageLayoutFile, blobs, ispec.ImageBlobsDir} {
		err := os.Remove(filepath.Join(path, name))
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, fs.ErrExist):
			return nil // blobs of another program
		default:
			return err
		}
	}
	return nil
}
