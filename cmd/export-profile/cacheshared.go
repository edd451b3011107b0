package main

import (
	"context"
	"errors"
	"slices"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// sharedCache is a cache in a registry that several machines share. Methods of a nil one do nothing.
type sharedCache struct {
	*registry.SharedCache
	at registry.Reference
}

// open begins to use the shared cache. An unusable one only makes the run slower.
// The cache can take layers from the repository to, if it is not nil, without another upload.
func (s *shareSettings) open(ctx context.Context, r *registryFlags, to *registry.Reference, say *speaker) (*sharedCache, error) {
	if s == nil {
		return nil, nil
	}
	client, err := r.client(say)
	if err != nil {
		return nil, err
	}
	cache, err := client.SharedCache(ctx, s.at, to, s.keys)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		say.notef("without the shared cache, this takes longer: %v", err)
		return &sharedCache{at: s.at}, nil
	}
	return &sharedCache{cache, s.at}, nil
}

// serve connects the machine's own cache to the shared one.
func (s *sharedCache) serve(ctx context.Context, c *cacheFlags) {
	if s != nil && s.SharedCache != nil {
		c.ask = func(name string) []byte { return s.Fact(ctx, name) }
		c.tell = s.KeepFact
	}
}

// find adds to the layers the blobs that the shared cache has.
func (s *sharedCache) find(ctx context.Context, layers []ocilayout.Layer, z compress.Method, local *ocilayout.Cache) ([]ocilayout.Layer, error) {
	if s == nil || s.SharedCache == nil {
		return layers, nil
	}
	return s.Find(ctx, layers, z, local)
}

// voucher returns the function that checks signatures of a previous image's layers, or nil if no cache is shared.
func (s *sharedCache) voucher() func(context.Context, []*ocilayout.BlobSource, map[string]string) ([]error, error) {
	switch {
	case s == nil:
		return nil
	case s.SharedCache == nil:
		return func(_ context.Context, kept []*ocilayout.BlobSource, _ map[string]string) ([]error, error) {
			return slices.Repeat([]error{errors.New("the shared cache cannot be asked")}, len(kept)), nil
		}
	}
	return s.Vouch
}

// recorder returns the function that adds finished layers to the cache, or nil.
func (s *sharedCache) recorder() func(context.Context, ocilayout.Record, ocilayout.Blob) {
	if s == nil || s.SharedCache == nil {
		return nil
	}
	return s.Keep
}

// finish writes the remaining facts, and notes what the cache contributed.
func (s *sharedCache) finish(ctx context.Context, say *speaker) {
	if s == nil || s.SharedCache == nil {
		return
	}
	s.WriteFacts(ctx)
	stats := s.Stats()
	say.notef("shared cache %s: %s and %s found there, %d and %d written to it", s.at.Name(),
		count(stats.Found, "layer"), count(stats.FoundFacts, "fact"), stats.Written, stats.WrittenFacts)
	if err := s.Err(); err != nil {
		say.notef("the shared cache failed and was not used any further: %v", err)
	}
}
