package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
)

// Tar is what was written.
type TarResult struct {
	Digest digest.Digest // of what was written
	DiffID digest.Digest // of the tar, whatever compressed it
	Size   int64
}

// WriteTar writes a root filesystem as one tar, as podman import, LXC, systemd-nspawn and WSL read it.
// It is the tar of a layer that has all parts. Of the options, Progress counts.
func WriteTar(ctx context.Context, w io.Writer, parts []rootfs.Part, m compress.Method, o Options) (TarResult, error) {
	parts, stop := rootfs.Ahead(parts, readAhead(1))
	defer stop()
	b, err := compress.NewPool(m, runtime.GOMAXPROCS(0)).Pack(ctx, w, func(ctx context.Context, w *compress.Stream) error {
		return writeTar(ctx, w, rootfs.Join(parts), nil, o.Progress)
	})
	if err != nil {
		return TarResult{}, fmt.Errorf("write tar: %w", err)
	}
	return TarResult{b.Digest, b.DiffID, b.Size}, nil
}

// PublishTar is WriteTar to a file, which appears, or takes the place of another, when it is complete.
// What killed runs left of themselves beside it is removed. Of the options, Progress and Sync count.
func PublishTar(ctx context.Context, file string, parts []rootfs.Part, m compress.Method, o Options) (t TarResult, err error) {
	path, staging, err := stageFile(file)
	if err != nil {
		return t, fmt.Errorf("publish %q: %w", file, err)
	}
	defer func() { err = errors.Join(err, staging.Remove()) }()
	err = publishFile(staging, path, o.Sync, func(f *os.File) (err error) {
		t, err = WriteTar(ctx, f, parts, m, o)
		return err
	})
	if err != nil {
		err = fmt.Errorf("publish %q: %w", file, err)
	}
	return t, err
}
