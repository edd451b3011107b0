package ocilayout

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/rootfs"
)

// layerBlob is a layer in a layout.
type layerBlob struct {
	ispec.Descriptor
	diffID digest.Digest // of the tar, whatever compressed it
}

// addLayers builds layers at the same time, the largest first so that the last one to end is a small one.
// Their order in the result is that of the input.
func (l *Layout) addLayers(ctx context.Context, layers []Layer, c Compression) ([]layerBlob, error) {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layers[b].Size(), layers[a].Size()) })

	blobs := make([]layerBlob, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, i := range order {
		group.Go(func() (err error) {
			if blobs[i], err = l.addLayer(ctx, layers[i], c); err != nil {
				err = fmt.Errorf("write layer of %s: %w", layers[i].title(), err)
			}
			return err
		})
	}
	return blobs, group.Wait()
}

func (l *Layout) addLayer(ctx context.Context, layer Layer, c Compression) (layerBlob, error) {
	b := layerBlob{Descriptor: ispec.Descriptor{MediaType: c.MediaType()}}
	var err error
	b.Digest, b.Size, err = l.engine.put(func(w io.Writer) (err error) {
		b.diffID, err = writeLayer(ctx, w, layer, c, l.options.Progress)
		return err
	})
	if c.algorithm == algorithmNone {
		b.diffID = b.Digest
	}
	return b, err
}

// writeLayer writes a layer's blob: a tar, hashed and compressed on its way, without a second copy of it.
// If it is not compressed, the diffID is the digest of what is written, and is left to the caller.
func writeLayer(ctx context.Context, w io.Writer, layer Layer, c Compression, progress func(int64)) (digest.Digest, error) {
	if c.algorithm == algorithmNone {
		return "", writeTar(ctx, w, rootfs.Join(layer.Parts), layer.Hidden, progress)
	}
	out := bufio.NewWriterSize(w, 128<<10) // compressors write a few hundred bytes at a time
	packed, err := c.writer(out)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if err := writeTar(ctx, io.MultiWriter(h, packed), rootfs.Join(layer.Parts), layer.Hidden, progress); err != nil {
		return "", err
	}
	if err := packed.Close(); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, h), out.Flush()
}

// title names a layer in an error.
func (l Layer) title() string {
	switch len(l.Parts) {
	case 0:
		return "nothing"
	case 1:
		return l.Parts[0].Name
	}
	return fmt.Sprintf("%s and %d more", l.Parts[0].Name, len(l.Parts)-1)
}
