package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// TarResult describes a tar that was written.
type TarResult struct {
	Digest digest.Digest // of the tar as written
	DiffID digest.Digest // of the tar before compression
	Size   int64
	// Left says what PublishTar could not clean up after the file became visible, or is nil.
	// The next call with the same file does that.
	Left error
}

// WriteTar writes a root filesystem as one tar, for podman import, LXC, systemd-nspawn and WSL.
// It equals the tar of a layer with all parts. Of the options it uses Progress alone.
func WriteTar(ctx context.Context, w io.Writer, parts []rootfs.Part, m compress.Method, o Options) (TarResult, error) {
	parts, stop := rootfs.Ahead(parts, readAhead(1))
	defer stop()
	b, err := compress.NewPool(m, runtime.GOMAXPROCS(0)).Pack(ctx, w, func(ctx context.Context, w *compress.Stream) error {
		return writeTar(ctx, w, rootfs.Join(parts), nil, o.Progress)
	})
	if err != nil {
		return TarResult{}, fmt.Errorf("write tar: %w", err)
	}
	return TarResult{Digest: b.Digest, DiffID: b.DiffID, Size: b.Size}, nil
}

// PublishTar is WriteTar to a file. The file appears, or replaces another one, when it is complete.
// PublishTar removes what killed runs left beside the file. Of the options it uses Progress and Sync.
func PublishTar(ctx context.Context, file string, parts []rootfs.Part, m compress.Method, o Options) (t TarResult, err error) {
	path, staging, err := stageFile(file)
	if err != nil {
		return t, fmt.Errorf("publish %q: %w", file, err)
	}
	defer func() {
		if left := staging.Remove(); err == nil {
			t.Left = left
		} else {
			err = errors.Join(err, left)
		}
	}()
	err = publishFile(staging, path, o.Sync, func(f *os.File) (err error) {
		t, err = WriteTar(ctx, f, parts, m, o)
		return err
	})
	if err != nil {
		err = fmt.Errorf("publish %q: %w", file, err)
	}
	return t, err
}

// stagingFile is the name of a file within its staging directory.
const stagingFile = "file"

// stageFile makes a staging directory beside a file that is about to appear or be replaced,
// and returns the real path of the file.
func stageFile(name string) (path string, _ *staging.Dir, err error) {
	path, exists, err := resolveOutput(name)
	if err != nil {
		return "", nil, err
	}
	if exists {
		if fi, err := os.Stat(path); err != nil {
			return "", nil, err
		} else if !fi.Mode().IsRegular() {
			return "", nil, fmt.Errorf("%w and is no regular file", fs.ErrExist)
		}
	} else if strings.HasSuffix(name, "/") {
		return "", nil, errors.New("is a directory's name")
	}
	parent, base := filepath.Split(path)
	if err := staging.Clean(parent, base, nil); err != nil {
		return "", nil, err
	}
	staging, err := staging.New(parent, base)
	return path, staging, err
}

// publishFile writes a file that everyone may read, and renames it to its place when it is complete.
func publishFile(staging *staging.Dir, path string, sync bool, write func(*os.File) error) (err error) {
	temp := filepath.Join(staging.Path, stagingFile)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return staging.Explain(err)
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return staging.Explain(err)
	}
	return staging.Move(stagingFile, filepath.Base(path))
}
