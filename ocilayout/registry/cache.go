package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
)

// SharedCache is a repository through which machines share layers, and facts about store objects.
// Each is an artifact whose manifest has a signed claim about its subject. The subject also determines the tag:
//
//	layer-KEY    the parts and the method of a layer, and its blob; see ocilayout.Record.Key
//	blob-DIGEST  the same claim, found by the blob, to prove what a layer of an image holds
//	fact-HASH    a fact about a store object; HASH is the hash of the fact's name
//
// Beside them are use notes, which say when runs used which of these tags; see useNote.
//
// A claim is trusted only with a signature by a trusted key, and only about its own subject:
// the claim names the subject, and the signature covers that. So a registry can withhold claims, but not forge them.
// A claim that cannot be read or is not trusted is a miss, which Options.Explain reports.
//
// A tag is set only after everything that it leads to is in the repository, so a killed program leaves no broken tag.
// All tags can be deleted at any time.
type SharedCache struct {
	client *Client
	at     Reference
	keys   Keys
	day    useDay
	repo   *repository
	push   *Push
	reads  chan struct{} // limits the blobs that are read at the same time

	emptyMu  sync.Mutex
	hasEmpty bool // the repository has the empty config

	noting sync.Mutex // held while a use note is written

	mu         sync.Mutex
	failed     error             // why the cache was given up
	unwritable error             // why nothing is written to the cache
	facts      map[string][]byte // facts for WriteFacts
	used       map[string]bool   // tags that the run uses, and whether a use note names them
	traffic    traffic
	stats      SharedCacheStats
}

// SharedCacheStats counts the layers and facts of a run, and what they cost.
type SharedCacheStats struct {
	Found, FoundFacts     int // layers and facts that the cache has
	Written, WrittenFacts int // layers and facts that were written
	LookUps               int // of claims
	Traffic                   // with the repository of the cache
}

// parallelClaims is how many claims are requested at the same time.
const parallelClaims = 16

// SharedCache opens the cache in a repository. The tag of at is ignored.
// If from is not nil and in the same registry, it is the repository of the images, and layers are mounted from it.
func (c *Client) SharedCache(ctx context.Context, at Reference, from *Reference, keys Keys) (*SharedCache, error) {
	if from != nil && from.Registry != at.Registry {
		from = nil
	}
	push, err := c.Push(ctx, Reference{Registry: at.Registry, Repository: at.Repository}, from)
	if err != nil {
		return nil, err
	}
	push.once = true
	cache := &SharedCache{client: c, at: at, keys: keys, day: dayOf(c.now()), repo: push.repo, push: push,
		reads: make(chan struct{}, parallel), facts: make(map[string][]byte), used: make(map[string]bool)}
	cache.repo.count = &cache.traffic
	return cache, nil
}

// Find looks up the layers that would be built otherwise: they are neither kept from another image nor in local,
// this machine's own cache, which may be nil. Find sets Layer.Shared of those that the shared cache has,
// and returns the other layers unchanged.
// Before it looks, it says in a use note that the run uses all of these layers, so that they are not pruned meanwhile.
func (c *SharedCache) Find(ctx context.Context, layers []ocilayout.Layer, z compress.Method, local *ocilayout.Cache) ([]ocilayout.Layer, error) {
	layers = slices.Clone(layers)
	known := local.Forecast(layers, z)
	for _, l := range layers {
		if want, err := ocilayout.NewRecord(l, z); err == nil {
			c.uses(layerTag(want))
		}
	}
	c.announce(ctx)
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for i := range layers {
		if known[i].How != ocilayout.Built {
			continue
		}
		group.Go(func() error {
			shared, err := c.find(ctx, layers[i], z)
			if err != nil {
				c.client.explain("layer of %s: %v", layerName(layers[i]), err)
				return context.Cause(ctx)
			}
			layers[i].Shared = shared
			c.count(func(s *SharedCacheStats) { s.Found++ })
			return nil
		})
	}
	return layers, group.Wait()
}

func (c *SharedCache) find(ctx context.Context, l ocilayout.Layer, z compress.Method) (*ocilayout.SharedBlob, error) {
	want, err := ocilayout.NewRecord(l, z)
	if err != nil {
		return nil, err
	}
	r, err := c.record(ctx, want)
	if err != nil {
		return nil, err
	}
	s := ocilayout.NewSharedBlob(r)
	s.Repository = c.at.Name()
	d := s.Descriptor
	s.Open = func(ctx context.Context) (io.ReadCloser, error) { return c.open(ctx, d) }
	s.OpenRange = c.repo.openRange
	return s, nil
}

// record reads the trusted claim about a layer.
func (c *SharedCache) record(ctx context.Context, want ocilayout.Record) (r ocilayout.Record, err error) {
	if err := c.readClaim(ctx, layerClaim, layerTag(want), &r); err != nil {
		return r, err
	}
	if err := r.Answers(want); err != nil {
		return r, fmt.Errorf("%s:%s is not trusted: %w", c.at.Name(), layerTag(want), err)
	}
	return r, nil
}

// Vouch checks for each layer of other images whether a trusted claim proves that it holds the wanted parts.
// wanted has the keys of parts by name. Each error of the result says why there is no such claim about the layer, or is nil.
func (c *SharedCache) Vouch(ctx context.Context, layers []*ocilayout.BlobSource, wanted map[string]string) ([]error, error) {
	doubts := make([]error, len(layers))
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for i, l := range layers {
		group.Go(func() error {
			var r ocilayout.Record
			tag := blobTag(l.Descriptor.Digest)
			if doubts[i] = c.readClaim(ctx, layerClaim, tag, &r); doubts[i] != nil {
				return context.Cause(ctx)
			}
			if err := r.Vouches(l, wanted); err != nil {
				doubts[i] = fmt.Errorf("%s:%s is not trusted: %w", c.at.Name(), tag, err)
			} else {
				c.uses(tag)
			}
			return nil
		})
	}
	return doubts, group.Wait()
}

func layerTag(r ocilayout.Record) string { return "layer-" + r.Key() }

func blobTag(d digest.Digest) string { return "blob-" + d.Encoded() }

// open opens a blob. It waits if too many are open.
func (c *SharedCache) open(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
	select {
	case c.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r, err := c.repo.open(ctx, d)
	if err != nil {
		<-c.reads
		return nil, err
	}
	return &sharedBlob{ReadCloser: r, done: sync.OnceFunc(func() { <-c.reads })}, nil
}

type sharedBlob struct {
	io.ReadCloser
	done func()
}

func (s *sharedBlob) Close() error {
	s.done()
	return s.ReadCloser.Close()
}

// fail gives up the cache, since further requests would fail, too, and each failure takes time.
func (c *SharedCache) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
}

// Err returns why the cache was given up, or nil.
func (c *SharedCache) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// WriteErr returns why nothing was written to the cache although there is a key, or nil.
func (c *SharedCache) WriteErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unwritable
}

func (c *SharedCache) count(f func(*SharedCacheStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// Stats returns the counts so far.
func (c *SharedCache) Stats() SharedCacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Traffic = c.traffic.sum()
	return s
}

// layerName names a layer in messages.
func layerName(l ocilayout.Layer) string {
	names := make([]string, 0, 2)
	for _, p := range l.Parts {
		if len(names) == cap(names) {
			return fmt.Sprintf("%s and %d more", names[0], len(l.Parts)-1)
		}
		names = append(names, p.Name)
	}
	return strings.Join(names, " and ")
}

// Keep writes a layer's record and blob, unless the cache has them.
// It serves as ocilayout.Options.Record. A failure does not affect the image.
func (c *SharedCache) Keep(ctx context.Context, r ocilayout.Record, blob ocilayout.Blob) {
	if c.keys.Sign == nil {
		return
	}
	c.uses(layerTag(r))
	if !c.announce(ctx) {
		return
	}
	existing, err := c.record(ctx, r)
	switch {
	case err == nil && existing.Blob != r.Blob:
		c.client.explain("blob %s: %s already has blob %s for the same parts, which stays", r.Blob, c.at.Name(), existing.Blob)
		return
	case err == nil && !maps.Equal(existing.Annotations, r.Annotations):
		c.client.explain("blob %s: %s already has other tables of it, which stay", r.Blob, c.at.Name())
		return
	case err == nil: // put the blob again, in case it was deleted
		if err := c.push.putBlob(ctx, blob); err != nil && context.Cause(ctx) == nil {
			c.client.explain("blob %s: not shared: %v", r.Blob, err)
		}
		return
	case c.Err() != nil:
		return
	case !errors.Is(err, errNoClaim):
		c.client.explain("blob %s: %v", r.Blob, err) // goes on to replace the claim
	}
	image, manifest, err := c.keys.newClaim(layerClaim, r, blob.Descriptor)
	if err != nil {
		c.client.explain("blob %s: not shared: %v", r.Blob, err)
		return
	}
	if err = c.push.putBlob(ctx, blob); err == nil {
		err = c.writeClaim(ctx, image, manifest, layerTag(r), blobTag(r.Blob))
	}
	c.finishWrite(ctx, "blob "+r.Blob.String(), err, func(s *SharedCacheStats) { s.Written++ })
}

// finishWrite counts what was written. After an error it gives up the cache, unless ctx is cancelled.
func (c *SharedCache) finishWrite(ctx context.Context, what string, err error, count func(*SharedCacheStats)) {
	switch {
	case err == nil:
		c.count(count)
	case context.Cause(ctx) == nil:
		c.client.explain("%s: not shared: %v", what, err)
		c.fail(err)
	}
}
