package ocilayout

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
)

// layerBlob is a layer in a layout.
type layerBlob struct {
	ispec.Descriptor
	diffID digest.Digest // of the tar, whatever compressed it
	tar    int64         // how large that is; 0 if it is not known

	checked []byte // as in a tarRecord
}

// LayerResult says what became of a layer.
type LayerResult struct {
	Name string // of its first object
	How  How
	Size int64 // of its blob
}

// How is where a layer's blob came from.
type How byte

const (
	Built        How = iota // from its parts' trees
	Cached                  // from the cache, as it was
	Recompressed            // from the cache, where it was compressed otherwise
	Reused                  // from another image; see Layer.Reuse
	Fetched                 // from a cache of several machines; see Layer.Shared
)

func (h How) String() string {
	switch h {
	case Built:
		return "built"
	case Cached:
		return "cached"
	case Recompressed:
		return "recompressed"
	case Reused:
		return "reused"
	case Fetched:
		return "fetched"
	}
	return fmt.Sprintf("How(%d)", byte(h))
}

// addLayers builds layers at the same time, the largest first so that the last one to end is a small one.
// Their order in the result is that of the input.
func (l *Layout) addLayers(ctx context.Context, layers []Layer, m compress.Method) ([]layerBlob, error) {
	order := make([]int, len(layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(layers[b].Size(), layers[a].Size()) })

	workers := runtime.GOMAXPROCS(0)
	a := &layerAdder{Layout: l, compression: m, pool: compress.NewPool(m, workers), slots: make(chan struct{}, workers), ahead: readAhead(len(layers))}
	blobs := make([]layerBlob, len(layers))
	results := make([]LayerResult, len(layers))
	group, groupCtx := errgroup.WithContext(ctx)
	for _, i := range order {
		a.slots <- struct{}{}
		group.Go(func() (err error) {
			layer := layers[i]
			results[i].Name = layer.title()
			blobs[i], results[i].How, err = a.finish(groupCtx, layer)
			results[i].Size = blobs[i].Size
			return err
		})
	}
	err := group.Wait()
	l.results = results
	return blobs, err
}

// layerAdder adds the layers of one image to a layout.
type layerAdder struct {
	*Layout
	compression compress.Method
	pool        *compress.Pool
	slots       chan struct{} // of those who build; who fetches or delivers does not count
	ahead       int           // parts of a layer that are read at the same time
}

// readAhead is how many parts of a layer are read at the same time, so that few layers keep all processors busy, too.
// Each may take the memory of what unpacks it.
func readAhead(layers int) int {
	const most = 8
	return min(most, runtime.GOMAXPROCS(0)/max(1, layers)+1)
}

// finish adds a layer and delivers it. It begins with a slot.
func (a *layerAdder) finish(ctx context.Context, layer Layer) (b layerBlob, how How, err error) {
	if layer.Shared != nil && !a.options.VerifyCache && layer.Reuse == nil {
		<-a.slots
		if b, err = a.addShared(ctx, layer); err == nil {
			return b, Fetched, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return b, 0, cause
		}
		a.explain(layer, fmt.Errorf("not fetched: %w", err))
		a.slots <- struct{}{}
	}
	b, how, err = a.add(ctx, layer)
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

// add adds a layer, from wherever it is there the soonest.
func (a *layerAdder) add(ctx context.Context, layer Layer) (layerBlob, How, error) {
	if err := context.Cause(ctx); err != nil {
		return layerBlob{}, 0, err
	}
	if layer.Reuse != nil {
		b, err := a.addBlob(ctx, layer.Reuse)
		return b, Reused, err
	}
	if a.options.Cache == nil {
		b, _, err := a.build(ctx, layer)
		return b, Built, err
	}
	return a.addCached(ctx, layer)
}

// build makes a layer of its parts.
func (a *layerAdder) build(ctx context.Context, layer Layer) (layerBlob, int64, error) {
	parts := layer.Parts
	if a.ahead > 1 {
		ahead, stop := rootfs.Ahead(parts, a.ahead)
		defer stop()
		parts = ahead
	}
	b, size, err := a.pack(ctx, "", func(ctx context.Context, w *compress.Stream) error {
		return writeTar(ctx, w, rootfs.Join(parts), layer.Hidden, a.options.Progress)
	})
	b.checked = hashed(layer)
	return b, size, err
}

// pack makes a blob of what produce writes, and says how large that was.
// If there is a diffID that it must have, anything else is an error.
func (a *layerAdder) pack(ctx context.Context, diffID digest.Digest, produce func(context.Context, *compress.Stream) error) (layerBlob, int64, error) {
	f, err := a.engine.newBlob()
	if err != nil {
		return layerBlob{}, 0, err
	}
	defer f.discard()
	made, err := a.pool.Pack(ctx, f, produce)
	if err != nil {
		return layerBlob{}, 0, err
	}
	if diffID != "" && made.DiffID != diffID {
		return layerBlob{}, 0, fmt.Errorf("the diffID is %s instead of %s", made.DiffID, diffID)
	}
	b := layerBlob{
		Descriptor: ispec.Descriptor{MediaType: a.compression.MediaType(), Digest: made.Digest, Size: made.Size},
		diffID:     made.DiffID,
		tar:        made.TarSize,
	}
	return b, b.tar, f.commit(b.Digest)
}
