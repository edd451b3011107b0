package registry

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// PruneOptions say what PruneCache keeps.
type PruneOptions struct {
	// OlderThan removes what was unused for this long after the day of its last use. 0 means 30 days.
	OlderThan time.Duration
	// All removes everything that is in the cache when PruneCache begins.
	All bool
}

// keepUnused is the default of PruneOptions.OlderThan: long enough for a monthly build to find its layers.
const keepUnused = 30 * 24 * time.Hour

// Pruned counts what PruneCache removed.
type Pruned struct {
	SharedUsage     // what was removed
	Adopted     int // layers and facts that no use note had named: they count as used today
	Held        int // unused layers and facts that stay because other tags lead to them
	Restored    int // layers and facts that a run began to use meanwhile, and that were put back
}

// PruneCache deletes the records of a shared cache that were unused for long, and the use notes about them.
// The registry frees their blobs when it collects garbage.
//
// A record was last used on the day of the last use note that names one of its tags. A record that no note names
// was written by an earlier version of this program. It counts as used today, and a note says so from now on.
//
// Runs can use the cache meanwhile. They lose no record that they have announced in a use note:
// PruneCache lists the records before the notes, and a run writes its note before its records, so new records have a note.
// If a run announces an old record while it is being deleted, PruneCache finds the note right afterwards, and puts the record back.
// If the run announces it later, it looks for the record after it was deleted, and writes it again.
// A run that only reads builds what it no longer finds.
//
// Deleting a manifest deletes all tags that lead to it. So PruneCache deletes only manifests of records,
// and only if all tags that lead to them are those of unused records.
func (c *Client) PruneCache(ctx context.Context, at Reference, o PruneOptions) (Pruned, error) {
	p := &pruner{age: o.OlderThan, now: c.now(), old: make(map[string]bool)}
	if p.age == 0 {
		p.age = keepUnused
	}
	var err error
	if p.push, err = c.Push(ctx, Reference{Registry: at.Registry, Repository: at.Repository}, nil); err != nil {
		return p.pruned, err
	}
	if p.scan, err = c.scanCache(ctx, at); err != nil {
		return p.pruned, err
	}
	if o.All {
		p.begin()
	}
	err = p.run(ctx)
	return p.pruned, err
}

// pruner prunes one shared cache.
type pruner struct {
	scan   *cacheScan
	push   *Push
	age    time.Duration
	now    time.Time
	all    bool
	old    map[string]bool // notes that do not count, although they are young
	pruned Pruned

	mu sync.Mutex
}

// begin makes everything unused that is in the cache now.
func (p *pruner) begin() {
	p.all = true
	for tag := range p.scan.notes {
		p.old[tag] = true
	}
	clear(p.scan.lastUse)
}

// unused reports whether a note of that day is too old to keep something.
func (p *pruner) unused(day useDay) bool {
	end, err := day.end()
	return err == nil && !p.now.Before(end.Add(p.age))
}

// tagState says what the use notes say about the tag of a record.
type tagState int

const (
	usedTag   tagState = iota
	unusedTag          // not used for long
	unnamedTag
)

func (p *pruner) state(tag string) tagState {
	p.scan.mu.Lock()
	defer p.scan.mu.Unlock()
	day, named := p.scan.lastUse[shortTag(tag)]
	switch {
	case !named && p.all, named && p.unused(day):
		return unusedTag
	case !named:
		return unnamedTag
	}
	return usedTag
}

// isBlobTag reports whether a tag is the second one of a layer's record. A run that uses the layer announces the first one.
func isBlobTag(tag string) bool { return strings.HasPrefix(tag, "blob-") }

func (p *pruner) run(ctx context.Context) error {
	var adopt []string
	var notes []string
	found := false // an unused record
	for _, tag := range p.scan.records {
		switch p.state(tag) {
		case unusedTag:
			found = true
		case unnamedTag:
			if !isBlobTag(tag) {
				adopt = append(adopt, tag)
			}
		}
	}
	for tag, day := range p.scan.notes {
		if p.old[tag] || p.unused(day) {
			notes = append(notes, tag)
		}
	}
	p.pruned.Adopted = len(adopt)
	if !found && len(notes) == 0 {
		return p.adopt(ctx, adopt)
	}
	byDigest, err := p.resolve(ctx)
	if err != nil {
		return err
	}
	var records []*doomed
	for d, tags := range byDigest {
		r, orphans := p.judge(d, tags)
		if r != nil {
			records = append(records, r)
		}
		adopt = append(adopt, orphans...)
	}
	if err := p.adopt(ctx, adopt); err != nil {
		return err
	}
	slices.SortFunc(records, func(a, b *doomed) int { return strings.Compare(string(a.image.Digest), string(b.image.Digest)) })
	for batch := range slices.Chunk(records, pruneBatch) {
		if err := p.deleteBatch(ctx, batch); err != nil {
			return err
		}
	}
	// The notes go last: without them, what a stopped run has left would count as used today.
	return p.deleteNotes(ctx, notes, byDigest)
}

// adopt writes a use note about tags that no note has named.
func (p *pruner) adopt(ctx context.Context, tags []string) error {
	slices.Sort(tags)
	for some := range slices.Chunk(tags, maxNoted) {
		if err := putUseNote(ctx, p.push, dayOf(p.now), some, p.push.putEmptyConfig); err != nil {
			return err
		}
	}
	return nil
}

// resolve groups the tags by the manifest that they lead to: all except use notes and the facts that stay.
// The manifest of a fact names its tag; see read.
func (p *pruner) resolve(ctx context.Context) (map[digest.Digest][]string, error) {
	byDigest := make(map[digest.Digest][]string)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelClaims)
	for _, tag := range slices.Concat(p.scan.records, p.scan.others) {
		if strings.HasPrefix(tag, "fact-") && recordTagPattern.MatchString(tag) && p.state(tag) != unusedTag {
			continue
		}
		group.Go(func() error {
			d, err := p.scan.repo.resolve(ctx, tag)
			if err != nil || d == "" {
				return err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			byDigest[d] = append(byDigest[d], tag)
			return nil
		})
	}
	return byDigest, group.Wait()
}

// judge returns the record of a manifest if it may be deleted, and tags of blobs that have no layer and no note.
func (p *pruner) judge(d digest.Digest, tags []string) (r *doomed, orphans []string) {
	unused, layers, others := 0, 0, 0
	for _, tag := range tags {
		switch {
		case !recordTagPattern.MatchString(tag):
			others++
			continue
		case p.state(tag) == unusedTag:
			unused++
		case p.state(tag) == usedTag, !isBlobTag(tag):
			others++
		default:
			orphans = append(orphans, tag)
		}
		if !isBlobTag(tag) {
			layers++
		}
	}
	switch {
	case unused > 0 && others == 0:
		slices.Sort(tags)
		return &doomed{image: ispec.Descriptor{Digest: d}, tags: tags}, nil
	case unused > 0:
		p.pruned.Held++
	}
	if layers > 0 {
		return nil, nil
	}
	return nil, orphans
}
