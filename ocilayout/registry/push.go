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

// parallel is how many blobs are transferred at the same time.
const parallel = 6

// Push pushes an image to a repository.
type Push struct {
	client *Client
	to     Reference
	from   *Reference // a repository of the same registry to mount blobs from, or nil
	repo   *remote.Repository
	slots  chan struct{}

	mu      sync.Mutex
	kept    []ocilayout.Blob // blobs that the repository should have and was not asked for
	trusted bool             // kept has ever had a blob
	stats   Stats

	restoring sync.Mutex // held by restore
}

// Stats counts the blobs of a push.
type Stats struct {
	Sent, Mounted, Present int   // blobs that were sent, mounted from another repository, or already in the repository
	SentBytes              int64 // bytes of the sent blobs
}

// Push prepares to push an image to a repository.
// If from is not nil, the registry is asked to mount blobs from this repository, which must be in the same registry.
func (c *Client) Push(ctx context.Context, to Reference, from *Reference) (*Push, error) {
	if to.Digest != "" {
		return nil, fmt.Errorf("push to %s: want a tag, not a digest", to)
	}
	if from != nil && from.Registry != to.Registry {
		return nil, fmt.Errorf("push to %s: %s is in another registry", to.Name(), from.Name())
	}
	repo, err := c.repository(ctx, to)
	if err != nil {
		return nil, err
	}
	repo.SkipReferrersGC = true // the login may not be allowed to delete the old referrers index
	return &Push{client: c, to: to, from: from, repo: repo, slots: make(chan struct{}, parallel)}, nil
}

// PlainHTTP reports whether the client talks to the registry in plain HTTP.
func (p *Push) PlainHTTP() bool { return p.repo.PlainHTTP }

// Blob pushes a blob unless the repository has it. It serves as ocilayout.Options.Deliver.
func (p *Push) Blob(ctx context.Context, b ocilayout.Blob) error {
	if isManifest(b.MediaType) {
		return p.putChild(ctx, b)
	}
	if b.Reuse != nil && b.Reuse.Repository == p.to.Name() && !b.Reuse.Evictable {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.kept, p.trusted = append(p.kept, b), true
		p.stats.Present++
		return nil
	}
	return p.putBlob(ctx, b)
}

// Manifest pushes the manifest of an image under tags, which then lead to it.
// Blob must have been called for all blobs of the image.
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

// complete puts a manifest. If the registry refuses it because blobs are missing, complete sends those and puts it again.
func (p *Push) complete(ctx context.Context, put func() error) error {
	err := put()
	if !hasCode(err, errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown) || !p.hasTrusted() {
		return err
	}
	p.client.explain("%v; sending the missing blobs", err)
	if err := p.restore(ctx); err != nil {
		return err
	}
	return put()
}

// hasTrusted reports whether Blob has skipped blobs without asking the repository.
func (p *Push) hasTrusted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trusted
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

// restore pushes the kept blobs that the repository lacks after all.
func (p *Push) restore(ctx context.Context) error {
	p.restoring.Lock() // the manifests of an index are put concurrently
	defer p.restoring.Unlock()
	p.mu.Lock()
	kept := p.kept
	p.kept = nil
	p.stats.Present -= len(kept)
	p.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range kept {
		group.Go(func() error { return p.putBlob(ctx, b) })
	}
	return group.Wait()
}

// Stats returns the counts so far.
func (p *Push) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// scoped makes requests with the returned context share one token for everything that a push does.
// If from is not "", the token also allows reads in that repository.
func (p *Push) scoped(ctx context.Context, from string) context.Context {
	ctx = auth.AppendRepositoryScope(ctx, p.repo.Reference, auth.ActionPull, auth.ActionPush)
	if from != "" {
		other := p.repo.Reference
		other.Repository = from
		ctx = auth.AppendRepositoryScope(ctx, other, auth.ActionPull)
	}
	return ctx
}

// mountSource returns the repository of the same registry to mount a blob from, or "".
func (p *Push) mountSource(b ocilayout.Blob) string {
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
