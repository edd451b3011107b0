package registry

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/export-profile/export-profile/ocilayout"
)

// parallel is how many blobs are on their way at the same time.
const parallel = 6

// Push is an image on its way to a repository.
type Push struct {
	client *Client
	to     Reference
	from   *Reference // a repository of the same registry that may have blobs, or nil
	repo   *remote.Repository
	slots  chan struct{}

	mu      sync.Mutex
	kept    []ocilayout.Blob // which the repository has, or should
	trusted bool             // there are or were kept ones
	stats   Stats

	restoring sync.Mutex
}

// Stats is what became of the blobs of an image.
type Stats struct {
	Sent, Mounted, Present int   // blobs that were sent, had from another repository, or there already
	SentBytes              int64 // of those that were sent
}

// Push begins to push an image to a repository.
// If from is not nil, it is a repository of the same registry where blobs are looked for, too.
func (c *Client) Push(ctx context.Context, to Reference, from *Reference) (*Push, error) {
	if to.Digest != "" {
		return nil, fmt.Errorf("push to %s: a digest is the result, not a name", to)
	}
	if from != nil && from.Registry != to.Registry {
		return nil, fmt.Errorf("push to %s: %s is in another registry", to.Name(), from.Name())
	}
	repo, err := c.repository(ctx, to)
	if err != nil {
		return nil, err
	}
	repo.SkipReferrersGC = true // to delete what is replaced may not be allowed
	return &Push{client: c, to: to, from: from, repo: repo, slots: make(chan struct{}, parallel)}, nil
}

// PlainHTTP says whether the registry was found to speak plain HTTP.
func (p *Push) PlainHTTP() bool { return p.repo.PlainHTTP }

// Blob puts a blob into the repository unless it is there. It is for ocilayout.Options.Deliver.
func (p *Push) Blob(ctx context.Context, b ocilayout.Blob) error {
	if isManifest(b.MediaType) {
		return p.child(ctx, b)
	}
	if b.Reuse != nil && b.Reuse.Repository == p.to.Name() && !b.Reuse.Evictable {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.kept, p.trusted = append(p.kept, b), true
		p.stats.Present++
		return nil
	}
	return p.put(ctx, b)
}

// Manifest makes an image visible under tags, which are those that lead to it from then on.
// All blobs that it names must have been put.
func (p *Push) Manifest(ctx context.Context, image ispec.Descriptor, manifest []byte, tags ...string) error {
	ctx = p.scoped(ctx, "")
	for _, tag := range tags {
		err := p.complete(ctx, func() error { return p.tag(ctx, image, manifest, tag) })
		if err != nil {
			return err
		}
	}
	return nil
}

// complete puts a manifest, and if blobs are missing that the repository should have, those and then the manifest.
func (p *Push) complete(ctx context.Context, put func() error) error {
	err := put()
	if !hasCode(err, errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown) || !p.hasTrusted() {
		return err
	}
	p.client.explain("%v; sending what is missing", err)
	if err := p.restore(ctx); err != nil {
		return err
	}
	return put()
}

func (p *Push) tag(ctx context.Context, image ispec.Descriptor, manifest []byte, tag string) error {
	what := fmt.Sprintf("push manifest %s to %s:%s", image.Digest, p.to.Name(), tag)
	return p.client.try(ctx, what, func(ctx context.Context) error {
		if d, err := p.repo.Resolve(ctx, tag); err == nil && d.Digest == image.Digest {
			return nil
		}
		return p.repo.PushReference(ctx, image, bytes.NewReader(manifest), tag)
	})
}

// restore puts the kept layers that the repository should have into it, as far as it has not.
func (p *Push) restore(ctx context.Context) error {
	p.restoring.Lock() // of an index, manifests are put at the same time
	defer p.restoring.Unlock()
	p.mu.Lock()
	kept := p.kept
	p.kept = nil
	p.stats.Present -= len(kept)
	p.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range kept {
		group.Go(func() error { return p.put(ctx, b) })
	}
	return group.Wait()
}

// Stats is what became of the blobs until now.
func (p *Push) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// scoped asks for one permission for all that is to be done, and to read in another repository.
func (p *Push) scoped(ctx context.Context, from string) context.Context {
	ctx = auth.AppendRepositoryScope(ctx, p.repo.Reference, auth.ActionPull, auth.ActionPush)
	if from != "" {
		other := p.repo.Reference
		other.Repository = from
		ctx = auth.AppendRepositoryScope(ctx, other, auth.ActionPull)
	}
	return ctx
}

// mountable is the repository of the same registry that a blob may be had from, or "".
func (p *Push) mountable(b ocilayout.Blob) string {
	if b.Reuse != nil && b.Reuse.Repository != "" {
		if repository, ok := strings.CutPrefix(b.Reuse.Repository, p.to.Registry+"/"); ok && repository != p.to.Repository {
			return repository
		}
	}
	if p.from != nil && p.from.Repository != p.to.Repository {
		return p.from.Repository
	}
	return ""
}
