package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// pruneBatch is how many records are deleted before PruneCache looks for new use notes.
const pruneBatch = 256

// doomed is a record that may be deleted.
type doomed struct {
	image    ispec.Descriptor
	tags     []string
	manifest []byte
	kind     claimKind
	bytes    int64
	deleted  bool
}

// deleteBatch deletes records, and puts back those that a run has begun to use meanwhile.
func (p *pruner) deleteBatch(ctx context.Context, batch []*doomed) error {
	if err := p.each(ctx, batch, p.read); err != nil {
		return err
	}
	if err := p.scan.readNotes(ctx); err != nil {
		return err
	}
	batch = slices.DeleteFunc(batch, func(r *doomed) bool { return r.kind == "" || p.wanted(r) })
	failed := p.each(ctx, batch, p.delete)
	if err := p.scan.readNotes(ctx); err != nil {
		return errors.Join(failed, err)
	}
	batch = slices.DeleteFunc(batch, func(r *doomed) bool { return !r.deleted || !p.wanted(r) })
	return errors.Join(failed, p.each(ctx, batch, p.restore))
}

func (p *pruner) delete(ctx context.Context, r *doomed) error {
	if err := p.scan.repo.deleteManifest(ctx, r.image.Digest); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.deleted = true
	p.pruned.add(r.kind, r.bytes)
	return nil
}

// each calls a function for records, several at a time.
func (p *pruner) each(ctx context.Context, records []*doomed, do func(context.Context, *doomed) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, r := range records {
		group.Go(func() error { return do(ctx, r) })
	}
	return group.Wait()
}

// read reads the manifest of a record. The kind stays empty if the manifest is gone or no record that these tags should lead to.
func (p *pruner) read(ctx context.Context, r *doomed) error {
	at := p.scan.repo.at
	at.Digest = r.image.Digest
	image, b, err := p.scan.repo.fetchManifest(ctx, at)
	if status(err) == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	kind, size := recordOf(b)
	for _, tag := range r.tags {
		if kind != kindOfTag(tag) || kind == factClaim && tag != tagOfFact(b) {
			p.scan.repo.client.explain("%s, with the tag %s, is no record of the cache, and stays", at, tag)
			return nil
		}
	}
	r.image, r.manifest, r.kind, r.bytes = image, b, kind, size
	return nil
}

// wanted reports whether a use note names a record that was unused before.
func (p *pruner) wanted(r *doomed) bool {
	return slices.ContainsFunc(r.tags, func(tag string) bool { return p.state(tag) == usedTag })
}

// restore puts back a record that was deleted. Its blob is still there, since the registry collects garbage later.
func (p *pruner) restore(ctx context.Context, r *doomed) error {
	ctx = p.push.scoped(ctx, "")
	for _, tag := range r.tags {
		if err := p.push.tag(ctx, r.image, r.manifest, tag); err != nil {
			return fmt.Errorf("put back what a run uses: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pruned.remove(r.kind, r.bytes)
	p.pruned.Restored++
	return nil
}

// deleteNotes deletes use notes. The digest of a note is in its tag.
func (p *pruner) deleteNotes(ctx context.Context, notes []string, byDigest map[digest.Digest][]string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, tag := range notes {
		d := digest.NewDigestFromEncoded(digest.SHA256, useTagPattern.FindStringSubmatch(tag)[2])
		if len(byDigest[d]) > 0 {
			continue // someone has given it another tag
		}
		group.Go(func() error {
			if err := p.scan.repo.deleteManifest(ctx, d); err != nil {
				return err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.pruned.Notes++
			return nil
		})
	}
	return group.Wait()
}
