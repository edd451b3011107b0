package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
)

// SharedCache is a repository in which several machines keep layers, and facts about store objects, for each other.
// Each is an artifact with a tag that follows from what it is about:
//
//	layer-KEY    what parts a layer is made of, how, and the blob that comes of it; see ocilayout.Record.Key
//	blob-DIGEST  the same claim, by the blob, to know what a layer of an image holds
//	fact-HASH    what was found out about a store object; HASH is that of the fact's name
//
// A claim is believed only with a signature of a trusted key, and only about what was asked for:
// it says itself what it is about, and that is signed. So a registry can withhold something, and no more.
// What cannot be had or is not believed is a miss, which Options.Explain is told of.
//
// A tag is set when all that it leads to is there, so that whoever is killed leaves nothing half-done.
// All tags can be deleted at any time.
type SharedCache struct {
	client *Client
	at     Reference
	keys   Keys
	repo   *remote.Repository
	push   *Push
	reads  chan struct{} // of blobs that are being read

	emptyMu  sync.Mutex
	hasEmpty bool // the config of all artifacts is there

	mu     sync.Mutex
	failed error // since when nothing is tried any more
	facts  map[string][]byte
	stats  SharedCacheStats
}

// SharedCacheStats is what a cache was good for.
type SharedCacheStats struct {
	Found, FoundFacts     int // layers and facts that are there
	Written, WrittenFacts int // those that were written
}

// parallelClaims is how many claims are asked for at the same time.
const parallelClaims = 16

// SharedCache begins to use a cache in a repository, whose tag does not count.
// If from is not nil, it is a repository of the same registry where images go, which has layers already.
func (c *Client) SharedCache(ctx context.Context, at Reference, from *Reference, keys Keys) (*SharedCache, error) {
	if from != nil && from.Registry != at.Registry {
		from = nil
	}
	push, err := c.Push(ctx, Reference{Registry: at.Registry, Repository: at.Repository}, from)
	if err != nil {
		return nil, err
	}
	return &SharedCache{client: c, at: at, keys: keys, repo: push.repo, push: push,
		reads: make(chan struct{}, parallel), facts: make(map[string][]byte)}, nil
}

// Find gives each layer that is neither kept nor known to this machine's own cache, which may be nil,
// what the cache has of it (Layer.Shared). The other layers are returned as they are.
func (c *SharedCache) Find(ctx context.Context, layers []ocilayout.Layer, z compress.Method, local *ocilayout.Cache) ([]ocilayout.Layer, error) {
	layers = slices.Clone(layers)
	known := local.Forecast(layers, z)
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for i := range layers {
		if known[i].How != ocilayout.Built {
			continue
		}
		group.Go(func() error {
			shared, err := c.find(ctx, layers[i], z)
			if err != nil {
				c.client.explain("layer of %s: %v", name(layers[i]), err)
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
	wanted, err := ocilayout.NewRecord(l, z)
	if err != nil {
		return nil, err
	}
	r, err := c.record(ctx, wanted)
	if err != nil {
		return nil, err
	}
	s := ocilayout.NewSharedBlob(r)
	s.Repository = c.at.Name()
	d := s.Descriptor
	s.Open = func(ctx context.Context) (io.ReadCloser, error) { return c.open(ctx, d) }
	return s, nil
}

// record is the believed answer to what is wanted.
func (c *SharedCache) record(ctx context.Context, wanted ocilayout.Record) (r ocilayout.Record, err error) {
	if err := c.readClaim(ctx, layerClaim, layerTag(wanted), &r); err != nil {
		return r, err
	}
	if err := r.Answers(wanted); err != nil {
		return r, fmt.Errorf("%s:%s is not believed: %w", c.at.Name(), layerTag(wanted), err)
	}
	return r, nil
}

// Vouch says of each layer of other images why nobody who is trusted has said that it holds what is wanted of it,
// or nil where one has. What is wanted are keys of parts by their names.
func (c *SharedCache) Vouch(ctx context.Context, kept []*ocilayout.BlobSource, wanted map[string]string) ([]error, error) {
	doubts := make([]error, len(kept))
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for i, k := range kept {
		group.Go(func() error {
			var r ocilayout.Record
			tag := blobTag(k.Descriptor.Digest)
			if doubts[i] = c.readClaim(ctx, layerClaim, tag, &r); doubts[i] != nil {
				return context.Cause(ctx)
			}
			if err := r.Vouches(k, wanted); err != nil {
				doubts[i] = fmt.Errorf("%s:%s is not believed: %w", c.at.Name(), tag, err)
			}
			return nil
		})
	}
	return doubts, group.Wait()
}

func layerTag(r ocilayout.Record) string { return "layer-" + r.Key() }

func blobTag(d digest.Digest) string { return "blob-" + d.Encoded() }

func factTag(name string) string { return fmt.Sprintf("fact-%x", sha256.Sum256([]byte(name))) }

// open reads a blob, a few at the same time.
func (c *SharedCache) open(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
	select {
	case c.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r, err := c.client.openBlob(ctx, c.repo, c.at, d)
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

// failedBefore is why the cache is not asked any more.
func (c *SharedCache) failedBefore() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// fail gives the cache up: what has been tried several times would not be better the next time, and takes long.
func (c *SharedCache) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
}

// Err is why the cache was given up, or nil.
func (c *SharedCache) Err() error { return c.failedBefore() }

func (c *SharedCache) count(f func(*SharedCacheStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// Stats is what the cache was good for until now.
func (c *SharedCache) Stats() SharedCacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// name is what people call a layer.
func name(l ocilayout.Layer) string {
	names := make([]string, 0, 2)
	for _, p := range l.Parts {
		if len(names) == cap(names) {
			return fmt.Sprintf("%s and %d more", names[0], len(l.Parts)-1)
		}
		names = append(names, p.Name)
	}
	return strings.Join(names, " and ")
}

// Keep writes what is known of a layer, with its blob, unless the cache has it.
// It is for ocilayout.Options.Record. What cannot be written makes no difference to an image.
func (c *SharedCache) Keep(ctx context.Context, r ocilayout.Record, blob ocilayout.Blob) {
	if c.keys.Sign == nil {
		return
	}
	there, err := c.record(ctx, r)
	switch {
	case err == nil && there.Blob != r.Blob:
		c.client.explain("blob %s: %s has %s of the same parts, which stays", r.Blob, c.at.Name(), there.Blob)
		return
	case err == nil: // but the blob may be gone
		if err := c.push.put(ctx, blob); err != nil && context.Cause(ctx) == nil {
			c.client.explain("blob %s: not shared: %v", r.Blob, err)
		}
		return
	case c.failedBefore() != nil:
		return
	case !errors.Is(err, errNoClaim):
		c.client.explain("blob %s: %v", r.Blob, err) // and it is replaced
	}
	image, manifest, err := c.keys.newClaim(layerClaim, r, blob.Descriptor)
	if err != nil {
		c.client.explain("blob %s: not shared: %v", r.Blob, err)
		return
	}
	if err = c.push.put(ctx, blob); err == nil {
		err = c.writeClaim(ctx, image, manifest, layerTag(r), blobTag(r.Blob))
	}
	c.wrote(ctx, "blob "+r.Blob.String(), err, func(s *SharedCacheStats) { s.Written++ })
}

func (c *SharedCache) wrote(ctx context.Context, what string, err error, counted func(*SharedCacheStats)) {
	switch {
	case err == nil:
		c.count(counted)
	case context.Cause(ctx) == nil:
		c.client.explain("%s: not shared: %v", what, err)
		c.fail(err)
	}
}

// factRecord is what a claim says of a fact.
type factRecord struct {
	Name string        `json:"name"`
	Fact digest.Digest `json:"fact"`
	Size int64         `json:"size"`
}

func (f factRecord) descriptor() ispec.Descriptor {
	return ispec.Descriptor{MediaType: "application/octet-stream", Digest: f.Fact, Size: f.Size}
}

// Fact is a fact of a name, or nil. It is for rootfs.Facts.Ask.
func (c *SharedCache) Fact(ctx context.Context, name string) []byte {
	b, err := c.readFact(ctx, name)
	if err != nil {
		if !errors.Is(err, errNoClaim) {
			c.client.explain("fact %s: %v", name, err)
		}
		return nil
	}
	c.count(func(s *SharedCacheStats) { s.FoundFacts++ })
	return b
}

func (c *SharedCache) readFact(ctx context.Context, name string) ([]byte, error) {
	var r factRecord
	if err := c.readClaim(ctx, factClaim, factTag(name), &r); err != nil {
		return nil, err
	}
	if r.Name != name {
		return nil, fmt.Errorf("%s:%s is not believed: it is of %q", c.at.Name(), factTag(name), r.Name)
	}
	return c.client.fetchConfig(ctx, c.repo, c.at, r.descriptor())
}

// KeepFact remembers a fact for WriteFacts. It is for rootfs.Facts.Tell.
func (c *SharedCache) KeepFact(name string, fact []byte) {
	if c.keys.Sign == nil || len(fact) > ocilayout.MaxDocument {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts[name] = fact
}

// WriteFacts writes the facts that were remembered, unless the cache has them.
func (c *SharedCache) WriteFacts(ctx context.Context) {
	c.mu.Lock()
	facts := c.facts
	c.facts = make(map[string][]byte)
	c.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for name, fact := range facts {
		group.Go(func() error {
			r := factRecord{name, digest.FromBytes(fact), int64(len(fact))}
			var there factRecord
			if err := c.readClaim(ctx, factClaim, factTag(name), &there); err == nil && there == r || c.failedBefore() != nil {
				return nil
			}
			image, manifest, err := c.keys.newClaim(factClaim, r, r.descriptor())
			if err == nil {
				err = c.putBytes(ctx, r.descriptor(), fact)
			}
			if err == nil {
				err = c.writeClaim(ctx, image, manifest, factTag(name))
			}
			c.wrote(ctx, "fact "+name, err, func(s *SharedCacheStats) { s.WrittenFacts++ })
			return nil
		})
	}
	_ = group.Wait()
}
