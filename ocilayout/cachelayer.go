package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// addCached adds a layer from the cache, or builds and keeps it.
func (a *layerAdder) addCached(ctx context.Context, layer Layer) (layerBlob, How, error) {
	cache := a.options.Cache
	key, err := layerKey(layer)
	if err != nil {
		a.explain(layer, err)
		b, _, err := a.build(ctx, layer)
		return b, Built, err
	}
	if !a.options.VerifyCache {
		b, how, err := a.fromCache(ctx, key, layer)
		if err == nil {
			if a.options.Progress != nil {
				a.options.Progress(layer.Size())
			}
			return b, how, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return b, how, cause
		}
		a.explain(layer, err)
	}
	b, size, err := a.build(ctx, layer)
	if err != nil {
		return b, Built, err
	}
	if a.options.VerifyCache {
		if err := cache.compare(ctx, key, b, a.compression); err != nil {
			return b, Built, err
		}
	}
	a.keep(ctx, layer, key, size, b)
	return b, Built, nil
}

func (a *layerAdder) keep(ctx context.Context, layer Layer, key string, size int64, b layerBlob) {
	err := a.options.Cache.keep(ctx, key, size, b, a.compression, a.engine.path(b.Digest), a.linkable)
	if err != nil {
		a.explain(layer, fmt.Errorf("not kept: %w", err))
	}
}

func (a *layerAdder) explain(layer Layer, reason error) {
	if a.options.Explain != nil {
		a.options.Explain("layer of %s: %v", layer.title(), reason)
	}
}

// fromCache adds a layer whose tar is known. An error says why that could not be done.
func (a *layerAdder) fromCache(ctx context.Context, key string, layer Layer) (layerBlob, How, error) {
	cache, z := a.options.Cache, a.compression
	tar, err := cache.loadTar(key)
	if err == nil {
		err = tar.proves(layer)
	}
	if err != nil {
		return layerBlob{}, 0, err
	}
	b, err := a.fromBlob(ctx, tar, z)
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
		b, otherErr := a.recompress(ctx, key, tar, other)
		if otherErr == nil {
			return b, Recompressed, nil
		}
		if otherErr != errNotCached {
			err = fmt.Errorf("%w; %v: %w", err, other, otherErr)
		}
	}
	return b, 0, fmt.Errorf("%v: %w", z, err)
}

// fromBlob adds a layer that is in the cache as it has to be.
func (a *layerAdder) fromBlob(ctx context.Context, tar tarRecord, z compress.Method) (b layerBlob, err error) {
	cache, name := a.options.Cache, packedRecord(tar.DiffID, z)
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
	b = layerBlob{Descriptor: ispec.Descriptor{MediaType: z.MediaType(), Digest: r.Digest, Size: r.Size}, diffID: tar.DiffID, tar: tar.Size}
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

// recompress adds a layer whose tar is in the cache in another form.
func (a *layerAdder) recompress(ctx context.Context, key string, tar tarRecord, other compress.Method) (b layerBlob, err error) {
	cache, name := a.options.Cache, packedRecord(tar.DiffID, other)
	r, err := cache.loadBlob(tar.DiffID, other)
	if err != nil {
		return b, err
	}
	f, err := cache.open(ctx, name, &r)
	if err != nil {
		return b, err
	}
	defer f.Close()
	plain, err := compress.NewReader(f, other.MediaType())
	if err != nil {
		return b, err
	}
	b, size, err := a.pack(ctx, tar.DiffID, func(ctx context.Context, w *compress.Stream) error {
		n, err := copyAll(ctx, w, io.LimitReader(plain, tar.Size+1), nil)
		if err == nil && n != tar.Size {
			err = fmt.Errorf("the tar has %d bytes or more instead of %d", n, tar.Size)
		}
		return err
	})
	if err = errors.Join(err, plain.Close()); err != nil {
		return b, err
	}
	if err := cache.keep(ctx, key, size, b, a.compression, a.engine.path(b.Digest), a.linkable); err != nil && a.options.Explain != nil {
		a.options.Explain("blob %s: not kept: %v", b.Digest, err)
	}
	return b, nil
}

// compare says what differs between a layer that was built and what the cache says of it.
func (c *Cache) compare(ctx context.Context, key string, b layerBlob, z compress.Method) error {
	if tar, err := c.loadTar(key); err == nil && tar.DiffID != b.diffID {
		return fmt.Errorf("verify cache: the diffID is %s, and was %s", b.diffID, tar.DiffID)
	}
	compressor, err := c.compressor(z)
	if err != nil {
		return nil
	}
	r, err := c.loadBlob(b.diffID, z)
	if err != nil || r.Compressor != compressor {
		return nil
	}
	if r.Digest != b.Digest {
		return fmt.Errorf("verify cache: the blob of diffID %s is %s, and was %s", b.diffID, b.Digest, r.Digest)
	}
	r.ModTime = -1 // so that it is read
	f, err := c.open(ctx, packedRecord(b.diffID, z), &r)
	if err == errNotCached {
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify cache: %w", err)
	}
	return f.Close()
}
