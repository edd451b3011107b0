package registry

import (
	"context"
	"fmt"
	"strings"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
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
	repo   *repository
	slots  chan struct{}
	once   bool // blobs that were found or mounted are not sent later, so nothing remembers them

	mu      sync.Mutex
	kept    []ocilayout.Blob // blobs that the repository should have and was not asked for
	trusted bool             // kept has ever had a blob
	found   []foundBlob      // blobs that the registry says it has
	doubted bool             // found has ever had a blob
	stats   Stats

	restoring sync.Mutex // held by restore
	referring sync.Mutex // held while the list of referrers is changed
}

// foundBlob is a blob that was not sent because the registry says that the repository has it.
type foundBlob struct {
	send   func(context.Context) error // sends it all the same
	forget func(*Stats)                // takes back that it was found
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
	return &Push{client: c, to: to, from: from, repo: repo, slots: make(chan struct{}, parallel)}, nil
}

// PlainHTTP reports whether the client talks to the registry in plain HTTP.
func (p *Push) PlainHTTP() bool { return p.repo.plain }

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

// Untagged pushes the manifest of an image by its digest, so that no tag leads to it yet.
// Some registries accept documents only for images that they have.
func (p *Push) Untagged(ctx context.Context, image ispec.Descriptor, manifest []byte) error {
	ctx = p.scoped(ctx, "")
	what := fmt.Sprintf("push manifest %s to %s", image.Digest, p.to.Name())
	return p.complete(ctx, func() error {
		return p.repo.try(ctx, what, func(ctx context.Context) error {
			_, err := p.repo.putManifest(ctx, image, manifest, image.Digest.String())
			return err
		})
	})
}

// complete puts a manifest. If the registry refuses it because blobs are missing, complete sends those and puts it again:
// first those that it was not asked for, then those that it said it has.
func (p *Push) complete(ctx context.Context, put func() error) error {
	err := put()
	for _, restore := range []func(context.Context) (bool, error){p.restoreKept, p.restoreFound} {
		if !hasCode(err, errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown) {
			return err
		}
		any, failed := restore(ctx)
		if failed != nil {
			return failed
		}
		if any {
			p.client.explain("%v; sent the missing blobs", err)
			err = put()
		}
	}
	return err
}

func (p *Push) tag(ctx context.Context, image ispec.Descriptor, manifest []byte, tag string) error {
	what := fmt.Sprintf("push manifest %s to %s:%s", image.Digest, p.to.Name(), tag)
	return p.repo.try(ctx, what, func(ctx context.Context) error {
		if p.repo.leads(ctx, tag, image) {
			return nil
		}
		_, err := p.repo.putManifest(ctx, image, manifest, tag)
		return err
	})
}

// putTag is tag without asking first where the tag leads.
func (p *Push) putTag(ctx context.Context, image ispec.Descriptor, manifest []byte, tag string) error {
	what := fmt.Sprintf("push manifest %s to %s:%s", image.Digest, p.to.Name(), tag)
	return p.repo.try(ctx, what, func(ctx context.Context) error {
		_, err := p.repo.putManifest(ctx, image, manifest, tag)
		return err
	})
}

// restoreKept pushes the kept blobs that the repository lacks after all. It reports whether there were any.
func (p *Push) restoreKept(ctx context.Context) (bool, error) {
	p.restoring.Lock() // the manifests of an index are put concurrently
	defer p.restoring.Unlock()
	p.mu.Lock()
	kept, any := p.kept, p.trusted
	p.kept = nil
	p.stats.Present -= len(kept)
	p.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range kept {
		group.Go(func() error { return p.putBlob(ctx, b) })
	}
	return any, group.Wait()
}

// restoreFound sends the blobs that the registry said it has. Some registries remember blobs that they have deleted.
func (p *Push) restoreFound(ctx context.Context) (bool, error) {
	p.restoring.Lock()
	defer p.restoring.Unlock()
	p.mu.Lock()
	found, any := p.found, p.doubted
	p.found = nil
	for _, b := range found {
		b.forget(&p.stats)
	}
	p.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, b := range found {
		group.Go(func() error { return b.send(ctx) })
	}
	return any, group.Wait()
}

// find remembers a blob that the registry says the repository has.
func (p *Push) find(b foundBlob) {
	if p.once {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found, p.doubted = append(p.found, b), true
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
	ctx = auth.AppendRepositoryScope(ctx, p.repo.scope, auth.ActionPull, auth.ActionPush)
	if from != "" {
		other := p.repo.scope
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
