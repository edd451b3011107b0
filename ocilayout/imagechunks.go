package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// OpenRange opens length bytes of a blob, from offset on, without reading the others.
// Callers must check the digest of what they read.
type OpenRange func(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error)

// openRange opens a part of a blob, in a registry or in a file.
func (s *ImageSource) openRange(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if s.OpenRange != nil {
		return s.OpenRange(ctx, d, offset, length)
	}
	return openRangeOf(ctx, s.Open, d, offset, length)
}

// openRangeOf opens a part of a blob that open opens as a file.
func openRangeOf(ctx context.Context, open OpenBlob, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	r, err := open(ctx, d)
	if err != nil {
		return nil, err
	}
	f, ok := r.(io.Seeker)
	if !ok {
		return nil, errors.Join(fmt.Errorf("read a part of blob %s: it can only be read from its beginning", d.Digest), r.Close())
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}

// FetchedChunks says what a client downloads if it fetches chunks, as podman does with partial pulls.
// The headers of HTTP come on top of all numbers.
type FetchedChunks struct {
	Bytes    int64 // the sum of the following
	Contents int64 // chunks that the client lacks, with the gaps between
	Tables   int64 // TOCs and tar-split data of the layers that it lacks
	Whole    int64 // manifest, config, and layers without tables
	Ranges   int   // of contents
}

// tabled is a layer with tables, and a way to read them.
type tabled struct {
	layer ispec.Descriptor
	at    chunked.Location
	open  OpenRange
	name  string // in errors
}

// tabledLayers returns the layers that have tables.
func tabledLayers(layers []ispec.Descriptor, open OpenRange, name func(i int) string) (all []tabled) {
	for i, d := range layers {
		if at, err := layerTables(d.MediaType, d); err == nil && at != (chunked.Location{}) { // clients do not use wrong tables
			all = append(all, tabled{d, at, open, name(i)})
		}
	}
	return all
}

// tablesAtOnce limits how many TOCs are read at the same time.
const tablesAtOnce = 4

// readTOCs calls visit with each entry of the layers' TOCs, in the order of its layer's TOC.
// Calls for different layers run at the same time.
func readTOCs(ctx context.Context, layers []tabled, visit func(i int, e *chunked.Entry) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tablesAtOnce)
	for i, l := range layers {
		group.Go(func() error {
			err := l.entries(ctx, func(e *chunked.Entry) error { return visit(i, e) })
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// entries reads the layer's TOC, and nothing else of its blob.
func (l tabled) entries(ctx context.Context, visit func(*chunked.Entry) error) error {
	r, err := l.open(ctx, l.layer, l.at.TOC.Offset, l.at.TOC.Length)
	if err != nil {
		return err
	}
	defer r.Close()
	t, err := chunked.NewTOCReader(r, l.at)
	if err != nil {
		return err
	}
	defer t.Close()
	for {
		e, err := t.Next()
		if err == nil {
			err = visit(e)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// inventory returns the digests of the files and chunks in all layers.
func inventory(ctx context.Context, layers []tabled) (*chunked.Inventory, error) {
	var mu sync.Mutex
	v := &chunked.Inventory{}
	err := readTOCs(ctx, layers, func(_ int, e *chunked.Entry) error {
		mu.Lock()
		defer mu.Unlock()
		return v.Add(e)
	})
	return v, err
}

// fetchChunks says what a holder of the old layers fetches of the new ones, which it lacks.
func fetchChunks(ctx context.Context, old, next []tabled) (f FetchedChunks, err error) {
	v, err := inventory(ctx, old)
	if err != nil {
		return f, err
	}
	missing := make([]*chunked.Missing, len(next))
	for i := range next {
		missing[i] = chunked.NewMissing(v)
	}
	err = readTOCs(ctx, next, func(i int, e *chunked.Entry) error {
		missing[i].Add(e)
		return nil
	})
	if err != nil {
		return f, err
	}
	for i, l := range next {
		bytes, ranges := missing[i].Finish(l.at.TOC.Offset)
		f.Contents += bytes
		f.Ranges += ranges
		f.Tables += l.at.TOC.Length + l.at.TarSplit.Length
	}
	f.Bytes = f.Contents + f.Tables
	return f, nil
}

// FetchChunks says what a holder of this image fetches to have next, if it fetches only the chunks that it lacks.
// A chunk is known if any layer of this image has it, or a file with its digest. Layers without tables give and save nothing.
//
// FetchChunks reads the TOCs of both images. It returns nil if no layer that this image lacks has one.
func (img *Image) FetchChunks(ctx context.Context, next *Image) (*FetchedChunks, error) {
	return fetchAdded(ctx, img.Blobs(), img.tabled("first"), next.Blobs(), next.tabled("second"))
}

// fetchAdded says what a holder of some blobs fetches, old layers with tables among them, to have the wanted ones.
// It changes want. It returns nil if no wanted layer that is missing has tables.
func fetchAdded(ctx context.Context, have map[digest.Digest]int64, old []tabled, want map[digest.Digest]int64, next []tabled) (*FetchedChunks, error) {
	var added []tabled
	for _, l := range next {
		_, wanted := want[l.layer.Digest]
		if _, ok := have[l.layer.Digest]; wanted && !ok {
			added = append(added, l)
			delete(want, l.layer.Digest) // the same layer twice is fetched once
		}
	}
	if len(added) == 0 {
		return nil, nil
	}
	f, err := fetchChunks(ctx, old, added)
	if err != nil {
		return nil, err
	}
	f.Whole, _ = fetch(have, want)
	f.Bytes += f.Whole
	return &f, nil
}

// FetchChunks says what a holder of p fetches by chunks to have the last image added; see [Image.FetchChunks].
// Call it before the image is published: it reads the TOCs where the blobs were made.
// Elsewhere opens those of blobs that are not on this machine.
func (l *Layout) FetchChunks(ctx context.Context, p *PreviousImage, elsewhere OpenRange) (*FetchedChunks, error) {
	open := func(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
		r, err := l.openRange(ctx, d, offset, length)
		if errors.Is(err, errElsewhere) {
			return elsewhere(ctx, d, offset, length)
		}
		return r, err
	}
	next := tabledLayers(l.lastImage.all, open, func(i int) string { return fmt.Sprintf("layer %d of the new image", i+1) })
	return fetchAdded(ctx, p.blobs, p.tabled(), maps.Clone(l.lastImage.blobs), next)
}

var errElsewhere = errors.New("it is not on this machine")

// openRange opens a part of a blob that was made or found on this machine.
func (l *Layout) openRange(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	return openRangeOf(ctx, func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
		if f := l.blobFiles.get(d.Digest); f != nil {
			return nopCloser{io.NewSectionReader(f, 0, d.Size)}, nil
		}
		f, err := os.Open(l.engine.path(d.Digest))
		if errors.Is(err, fs.ErrNotExist) && l.options.Cache != nil {
			f, err = os.Open(l.options.Cache.blob(d.Digest))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errElsewhere
		}
		if err != nil {
			l.explain(&err)
			return nil, err
		}
		return f, nil
	}, d, offset, length)
}

// FetchChunks is like [Image.FetchChunks], but for blobs that need not be those of a whole image. Open reads their tables.
func (p *PreviousImage) FetchChunks(ctx context.Context, next []ispec.Descriptor, open OpenRange) (*FetchedChunks, error) {
	want := make(map[digest.Digest]int64)
	for _, d := range next {
		want[d.Digest] = d.Size
	}
	return fetchAdded(ctx, p.blobs, p.tabled(), want, tabledLayers(next, open, func(i int) string { return fmt.Sprintf("blob %s", next[i].Digest) }))
}

// tabled returns the layers of the image that have tables.
func (p *PreviousImage) tabled() []tabled {
	return tabledLayers(p.all, p.openRange, func(i int) string { return fmt.Sprintf("layer %d of the previous image", i+1) })
}

// OpenRange opens a part of one of the image's blobs.
func (img *Image) OpenRange(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	return img.openRange(ctx, d, offset, length)
}

// OpenRange opens a part of a layer's blob.
func (c *Cache) OpenRange(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if err := CheckDigest(d.Digest); err != nil {
		return nil, err
	}
	return openRangeOf(ctx, func(context.Context, ispec.Descriptor) (io.ReadCloser, error) { return os.Open(c.blob(d.Digest)) }, d, offset, length)
}

// tabled returns the layers of the image that have tables.
func (img *Image) tabled(which string) []tabled {
	layers := make([]ispec.Descriptor, len(img.Layers))
	for i, l := range img.Layers {
		layers[i] = l.Descriptor
	}
	return tabledLayers(layers, img.openRange, func(i int) string { return fmt.Sprintf("layer %d of the %s image", i+1, which) })
}
