package ocilayout

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Contents returns the regular files of a layer, in the order of its tar.
// Their paths are names in the tar, like the Source of a [rootfs.LowerEntry]. An error follows the last entry
// if the layer differs from manifest and config. The order is that of the layer's author, so this is no valid [rootfs.Tree].
func (img *Image) Contents(ctx context.Context, layer int) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) {
		if err := img.contents(ctx, layer, yield); err != nil && !errors.Is(err, errEnough) {
			yield(rootfs.Entry{}, fmt.Errorf("layer %d: %w", layer+1, err))
		}
	}
}

// maxSparse bounds the bytes of all sparse files that Contents reads: their holes take no room in the layer, but time.
const maxSparse = 4 << 30

// errEnough stops a walk when the caller wants no more entries.
var errEnough = errors.New("enough")

func (img *Image) contents(ctx context.Context, layer int, yield func(rootfs.Entry, error) bool) (err error) {
	l, err := openLayer(ctx, img.open, &img.Layers[layer])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	holes := sparseSum{most: maxSparse}
	for {
		h, err := l.tar.Next()
		if err == io.EOF {
			return l.finish()
		}
		if err != nil {
			return fmt.Errorf("read layer: %w", err)
		}
		if err := holes.add(h); err != nil {
			return fmt.Errorf("%.255q: %w", h.Name, err)
		}
		name, err := cleanName(h.Name)
		if err != nil || name == "" || strings.HasPrefix(path.Base(name), whiteoutPrefix) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeCont && h.Typeflag != tar.TypeGNUSparse {
			continue
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(l.tar), nil }
		e := rootfs.File(name, rootfs.FileMode(uint32(h.Mode)), h.Size, open)
		e.UID, e.GID = h.Uid, h.Gid
		if !yield(e, nil) {
			return errEnough
		}
	}
}
