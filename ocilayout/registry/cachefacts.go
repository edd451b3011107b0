package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/export-profile/export-profile/ocilayout"
)

// factRecord is the claim about a fact.
type factRecord struct {
	Name string        `json:"name"`
	Fact digest.Digest `json:"fact"`
	Size int64         `json:"size"`
}

func (f factRecord) descriptor() ispec.Descriptor {
	return ispec.Descriptor{MediaType: "application/octet-stream", Digest: f.Fact, Size: f.Size}
}

func factTag(name string) string { return fmt.Sprintf("fact-%x", sha256.Sum256([]byte(name))) }

// Fact returns the fact of a name, or nil. It serves as rootfs.Facts.Ask.
func (c *SharedCache) Fact(ctx context.Context, name string) []byte {
	b, err := c.readFact(ctx, name)
	if err != nil {
		if !errors.Is(err, errNoClaim) {
			c.client.explain("fact %s: %v", name, err)
		}
		return nil
	}
	c.uses(factTag(name))
	c.count(func(s *SharedCacheStats) { s.FoundFacts++ })
	return b
}

func (c *SharedCache) readFact(ctx context.Context, name string) ([]byte, error) {
	var r factRecord
	if err := c.readClaim(ctx, factClaim, factTag(name), &r); err != nil {
		return nil, err
	}
	if r.Name != name {
		return nil, fmt.Errorf("%s:%s is not trusted: it is about %q", c.at.Name(), factTag(name), r.Name)
	}
	return c.repo.fetchConfig(ctx, r.descriptor())
}

// KeepFact remembers a fact for WriteFacts. It serves as rootfs.Facts.Tell.
func (c *SharedCache) KeepFact(name string, fact []byte) {
	if c.keys.Sign == nil || len(fact) > ocilayout.MaxDocument {
		return
	}
	c.uses(factTag(name))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts[name] = fact
}

// WriteFacts writes the remembered facts that the cache lacks.
func (c *SharedCache) WriteFacts(ctx context.Context) {
	c.mu.Lock()
	facts := c.facts
	c.facts = make(map[string][]byte)
	c.mu.Unlock()
	if !c.announce(ctx) {
		return
	}
	var group errgroup.Group
	group.SetLimit(parallelClaims)
	for name, fact := range facts {
		group.Go(func() error {
			r := factRecord{name, digest.FromBytes(fact), int64(len(fact))}
			var existing factRecord
			if err := c.readClaim(ctx, factClaim, factTag(name), &existing); err == nil && existing == r || c.Err() != nil {
				return nil
			}
			image, manifest, err := c.keys.newClaim(factClaim, r, r.descriptor())
			if err == nil {
				err = c.push.putBytes(ctx, r.descriptor(), fact)
			}
			if err == nil {
				err = c.writeClaim(ctx, image, manifest, factTag(name))
			}
			c.finishWrite(ctx, "fact "+name, err, func(s *SharedCacheStats) { s.WrittenFacts++ })
			return nil
		})
	}
	_ = group.Wait()
}
