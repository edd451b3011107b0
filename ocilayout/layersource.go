package ocilayout

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// This file decides where each layer of an image comes from. It reads from top to bottom, in the order of the attempts:
//
//	addLayers   all layers of an image, several at a time
//	add         one layer, from the first of the following sources that has it
//	addBlob     the layer of another image (Layer.Reuse); see blobsource.go
//	fetch       the cache that machines share (Layer.Shared)
//	fromCache   this machine's cache:
//	copyCached    the blob, if the same compressor made it
//	recompress    the same tar, compressed with another method
//	build       the layer's parts
//
// This machine's cache keeps every layer that was fetched, recompressed or built.

// layerBlob is a layer in a layout.
type layerBlob struct {
	ispec.Descriptor
	diffID  digest.Digest // of the tar, regardless of the compressor
	tarSize int64         // 0 if unknown
	hashed  []byte        // one bit per part, as in a tarRecord
}

// layerAdder adds the layers of one image to a layout.
type layerAdder struct {
	*Layout
	compression compress.Method
	pool        *compress.Pool
	slots       chan struct{} // limits concurrent builds, not fetches or pushes
	ahead       int           // how many parts of a layer are read at the same time
}

// addLayers adds layers concurrently, the largest first, so that no large one is left for the end.
// The result has the order of the input.
func (l *Layout) addLayers(ctx context.Context, layers []Layer, m compress.Method) ([]layerBlob, error) {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layers[b].Size(), layers[a].Size()) })

	workers := runtime.GOMAXPROCS(0)
	a := &layerAdder{Layout: l, compression: m, pool: compress.NewPool(m, workers), slots: make(chan struct{}, workers), ahead: readAhead(len(layers))}
	a.pool.Spill = func() (*os.File, error) { return staging.Spool(l.staging.Path) }
	blobs := make([]layerBlob, len(layers))
	results := make([]LayerResult, len(layers))
	group, groupCtx := errgroup.WithContext(ctx)
	for _, i := range order {
		a.slots <- struct{}{}
		group.Go(func() (err error) {
			results[i].Name = layers[i].title()
			blobs[i], results[i].How, err = a.add(groupCtx, layers[i])
			results[i].Size, results[i].Chunked = blobs[i].Size, hasTables(blobs[i].Descriptor)
			return err
		})
	}
	err := group.Wait()
	l.results = results
	return blobs, err
}

// readAhead returns how many parts of a layer to read at the same time: several if there are few layers,
// so that these keep all processors busy, too. Each part may take the memory of a decompressor.
func readAhead(layers int) int {
	const most = 8
	return min(most, runtime.GOMAXPROCS(0)/max(1, layers)+1)
}

// add adds a layer and delivers it. Its caller has taken a slot, which add gives back.
func (a *layerAdder) add(ctx context.Context, layer Layer) (b layerBlob, how How, err error) {
	switch {
	case context.Cause(ctx) != nil:
		err = context.Cause(ctx)
	case layer.Reuse != nil:
		how = Reused
		b, err = a.addBlob(ctx, layer.Reuse)
	default:
		if layer.Shared != nil && !a.options.VerifyCache {
			<-a.slots
			if b, err = a.fetch(ctx, layer); err == nil {
				return b, Fetched, nil
			}
			if cause := context.Cause(ctx); cause != nil {
				return b, 0, cause
			}
			a.explain(layer, fmt.Errorf("not fetched: %w", err))
			a.slots <- struct{}{}
		}
		b, how, err = a.cacheOrBuild(ctx, layer)
	}
	<-a.slots
	if err != nil {
		return b, how, fmt.Errorf("write layer of %s: %w", layer.title(), err)
	}
	if err := a.deliver(ctx, b.Descriptor, layer.Reuse); err != nil {
		return b, how, err
	}
	a.record(ctx, layer, b)
	return b, how, nil
}

// fetch takes a layer from the shared cache, delivers it, and keeps it in this machine's cache.
// If the image is delivered, only the destination may need the bytes: then fetch downloads nothing itself.
func (a *layerAdder) fetch(ctx context.Context, layer Layer) (layerBlob, error) {
	source := &layer.Shared.BlobSource
	b, err := a.addBlob(ctx, source)
	if err != nil {
		return b, err
	}
	b.tarSize, b.hashed = layer.Shared.TarSize, layer.Shared.hashed
	if a.options.Deliver == nil && a.options.Cache != nil {
		if key, err := tarRecordName(layer); err == nil {
			a.keep(ctx, layer, key, b)
		}
	}
	if err := a.deliver(ctx, b.Descriptor, source); err != nil {
		return b, err
	}
	a.progress(layer)
	return b, nil
}

// cacheOrBuild takes a layer from this machine's cache, or else builds and keeps it.
func (a *layerAdder) cacheOrBuild(ctx context.Context, layer Layer) (layerBlob, How, error) {
	cache := a.options.Cache
	if cache == nil {
		b, err := a.build(ctx, layer)
		return b, Built, err
	}
	key, err := tarRecordName(layer)
	if err != nil {
		a.explain(layer, err)
		b, err := a.build(ctx, layer)
		return b, Built, err
	}
	if !a.options.VerifyCache {
		b, how, err := a.fromCache(ctx, key, layer)
		if err == nil {
			a.progress(layer)
			return b, how, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return b, how, cause
		}
		a.explain(layer, err)
	}
	b, err := a.build(ctx, layer)
	if err != nil {
		return b, Built, err
	}
	if a.options.VerifyCache {
		if err := cache.compare(ctx, key, b, a.compression); err != nil {
			return b, Built, err
		}
	}
	a.keep(ctx, layer, key, b)
	return b, Built, nil
}

// build makes a layer of its parts.
func (a *layerAdder) build(ctx context.Context, layer Layer) (layerBlob, error) {
	parts := layer.Parts
	if a.ahead > 1 {
		ahead, stop := rootfs.Ahead(parts, a.ahead)
		defer stop()
		parts = ahead
	}
	b, err := a.pack(ctx, "", func(ctx context.Context, w *compress.Stream) error {
		return writeTar(ctx, w, rootfs.Join(parts), layer.Hidden, a.options.Progress)
	})
	b.hashed = hashedParts(layer)
	return b, err
}

// pack compresses what produce writes into a blob. It is an error if a diffID is given and the tar has another one.
func (a *layerAdder) pack(ctx context.Context, diffID digest.Digest, produce func(context.Context, *compress.Stream) error) (layerBlob, error) {
	f, err := a.engine.newBlob()
	if err != nil {
		return layerBlob{}, err
	}
	defer f.discard()
	made, err := a.pool.Pack(ctx, f, produce)
	if err != nil {
		return layerBlob{}, err
	}
	if diffID != "" && made.DiffID != diffID {
		return layerBlob{}, fmt.Errorf("the diffID is %s instead of %s", made.DiffID, diffID)
	}
	b := layerBlob{
		Descriptor: ispec.Descriptor{
			MediaType: a.compression.MediaType(), Digest: made.Digest, Size: made.Size, Annotations: made.Tables.Annotations(),
		},
		diffID:  made.DiffID,
		tarSize: made.TarSize,
	}
	return b, f.commit(b.Digest)
}

// keep puts a layer into this machine's cache. A failure costs only the next run's time.
func (a *layerAdder) keep(ctx context.Context, layer Layer, key string, b layerBlob) {
	err := a.options.Cache.keep(ctx, key, b, a.compression, a.engine.path(b.Digest), a.linkable)
	if err != nil {
		a.explain(layer, fmt.Errorf("not kept: %w", err))
	}
}

// record passes a layer that was made here to Options.Record.
func (a *layerAdder) record(ctx context.Context, layer Layer, b layerBlob) {
	if a.options.Record == nil || layer.Reuse != nil {
		return
	}
	r, err := newRecord(layer, a.compression, compress.Version())
	if err != nil {
		a.explain(layer, err)
		return
	}
	r.DiffID, r.TarSize, r.Blob, r.Size, r.Annotations = b.diffID, b.tarSize, b.Digest, b.Size, b.Annotations
	a.options.Record(ctx, r, Blob{Descriptor: b.Descriptor, path: a.engine.path(b.Digest), file: a.blobFiles.get(b.Digest)})
}

// progress counts a layer that need not be built.
func (a *layerAdder) progress(layer Layer) {
	if a.options.Progress != nil {
		a.options.Progress(layer.Size())
	}
}

func (a *layerAdder) explain(layer Layer, reason error) {
	if a.options.Explain != nil {
		a.options.Explain("layer of %s: %v", layer.title(), reason)
	}
}
