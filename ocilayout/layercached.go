package ocilayout

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// fromCache adds a layer if the cache knows its tar. The error says why that failed.
func (a *layerAdder) fromCache(ctx context.Context, key string, layer Layer) (layerBlob, How, error) {
	cache, z := a.options.Cache, a.compression
	tar, err := cache.loadTar(key)
	if err == nil {
		err = tar.proves(layer)
	}
	if err != nil {
		return layerBlob{}, 0, err
	}
	b, err := a.copyCached(ctx, tar, z)
	if err == nil {
		return b, Cached, nil
	}
	for _, other := range compress.All() {
		if err := context.Cause(ctx); err != nil {
			return b, 0, err
		}
		if other == z {
			continue
		}
		b, otherErr := a.recompress(ctx, tar, other)
		if otherErr == nil {
			a.keep(ctx, layer, key, b)
			return b, Recompressed, nil
		}
		if otherErr != errNotCached {
			cache.recheck(ctx, blobRecordName(tar.DiffID, other))
			err = fmt.Errorf("%w; %v: %w", err, other, otherErr)
		}
	}
	return b, 0, fmt.Errorf("%v: %w", z, err)
}

// copyCached adds the blob that the wanted compressor made of a tar.
func (a *layerAdder) copyCached(ctx context.Context, tar tarRecord, z compress.Method) (b layerBlob, err error) {
	cache, name := a.options.Cache, blobRecordName(tar.DiffID, z)
	compressor, err := cache.compressor(z)
	if err != nil {
		return b, err
	}
	r, err := cache.loadBlob(tar.DiffID, z)
	if err != nil {
		return b, err
	}
	if r.Compressor != compressor {
		return b, fmt.Errorf("made by %s, not %s", r.Compressor, compressor)
	}
	f, err := cache.open(ctx, name, &r)
	if err != nil {
		return b, err
	}
	b = layerBlob{Descriptor: r.descriptor(z), diffID: tar.DiffID, tarSize: tar.Size}
	if a.blobFiles != nil {
		a.blobFiles.add(r.Digest, f)
		return b, nil
	}
	defer f.Close()
	if ok, err := a.engine.adopt(f.Name(), r.Digest, a.linkable); ok || err != nil {
		return b, err
	}
	to, err := a.engine.newBlob()
	if err != nil {
		return b, err
	}
	defer to.discard()
	if err := copyFile(ctx, to.File, f, r.Size); err != nil {
		return b, err
	}
	return b, to.commit(r.Digest)
}

// recompress adds a blob made of a tar that the cache has only as compressed by another method.
func (a *layerAdder) recompress(ctx context.Context, tar tarRecord, other compress.Method) (b layerBlob, err error) {
	cache, name := a.options.Cache, blobRecordName(tar.DiffID, other)
	r, err := cache.loadBlob(tar.DiffID, other)
	if err != nil {
		return b, err
	}
	f, err := cache.open(ctx, name, &r)
	if err != nil {
		return b, err
	}
	defer f.Close()
	plain, err := compress.NewReader(bufio.NewReaderSize(f, 64<<10), other.MediaType())
	if err != nil {
		return b, err
	}
	b, err = a.pack(ctx, tar.DiffID, func(ctx context.Context, w *compress.Stream) error {
		n, err := copyAll(ctx, w, io.LimitReader(plain, tar.Size+1), nil)
		if err == nil && n != tar.Size {
			err = fmt.Errorf("the tar has %d bytes or more instead of %d", n, tar.Size)
		}
		return err
	})
	return b, errors.Join(err, plain.Close())
}
