package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/export-profile/export-profile/ocilayout/registry"
)

// sharedUsage counts what is in a shared cache, or what was removed from it, as JSON.
type sharedUsage struct {
	Repository string     `json:"repository"`
	Layers     countBytes `json:"layers"`
	Facts      countBytes `json:"facts"`
	Notes      int        `json:"useNotes"`
	Oldest     string     `json:"oldest,omitempty"`
	Unnoted    int        `json:"unnoted"`
	Held       int        `json:"held"`
	Restored   int        `json:"restored"`
}

type countBytes struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

func newSharedUsage(at registry.Reference, u registry.SharedUsage) *sharedUsage {
	s := &sharedUsage{Repository: at.Name(), Layers: countBytes{u.Layers, u.LayerBytes}, Facts: countBytes{u.Facts, u.FactBytes},
		Notes: u.Notes, Unnoted: u.Unnoted}
	if !u.Oldest.IsZero() {
		s.Oldest = u.Oldest.Format(time.DateOnly)
	}
	return s
}

func (u *sharedUsage) print(t terminal, json bool, heading string) error {
	if json {
		return printJSON(t.out, u)
	}
	fmt.Fprintf(t.out, heading+":\n", u.Repository)
	fmt.Fprintf(t.out, "layers    %6d  %s\n", u.Layers.Count, humanBytes(u.Layers.Bytes))
	fmt.Fprintf(t.out, "facts     %6d  %s\n", u.Facts.Count, humanBytes(u.Facts.Bytes))
	fmt.Fprintf(t.out, "use notes %6d", u.Notes)
	if u.Oldest != "" {
		fmt.Fprintf(t.out, "  what is unused for longest was used on %s", u.Oldest)
	}
	fmt.Fprintln(t.out)
	return nil
}

// showShared counts what a shared cache holds.
func (o *cacheOptions) showShared(ctx context.Context, t terminal) error {
	say := o.speaker(t)
	defer say.close()
	at, client, err := o.openShared(say)
	if err != nil {
		return err
	}
	u, err := client.CacheUsage(ctx, at)
	if err != nil {
		return o.hintShared(err, at)
	}
	if u.Unnoted > 0 {
		say.notef("no use note names %d of the layers and facts: they count as used on the day when cache prune first sees them", u.Unnoted)
	}
	return newSharedUsage(at, u).print(t, o.json, "%s")
}

// pruneShared removes from a shared cache what was unused for long.
func (o *cacheOptions) pruneShared(ctx context.Context, t terminal) error {
	say := o.speaker(t)
	defer say.close()
	age, err := o.age()
	switch {
	case err != nil:
		return err
	case o.maxSize != "":
		return usagef("as in cache prune --cache docker://registry.example.com/cache --older-than 30d",
			"--max-size: only a cache on this machine can be pruned to a size; a shared one is pruned by the day of the last use")
	case !o.all && age < day:
		return usagef("as in --older-than 1d", "--older-than %s: a shared cache knows the day of the last use, so want at least one day", o.olderThan)
	}
	at, client, err := o.openShared(say)
	if err != nil {
		return err
	}
	p, err := client.PruneCache(ctx, at, registry.PruneOptions{OlderThan: age, All: o.all})
	if err != nil {
		if p.Layers+p.Facts > 0 {
			say.notef("removed %s and %s before this failed; what is left is whole", count(p.Layers, "layer"), count(p.Facts, "fact"))
		}
		return o.hintShared(err, at)
	}
	if p.Adopted > 0 {
		say.notef("no use note names %d of the layers and facts, which earlier versions wrote: they count as used today", p.Adopted)
	}
	if p.Held > 0 {
		say.notef("kept %s, since other tags lead there", count(p.Held, "unused manifest"))
	}
	if p.Restored > 0 {
		say.notef("put back %d layers and facts that a run began to use meanwhile", p.Restored)
	}
	if p.Layers+p.Facts > 0 {
		say.notef("the registry frees the space when it collects garbage")
	}
	u := newSharedUsage(at, p.SharedUsage)
	u.Unnoted, u.Held, u.Restored = p.Adopted, p.Held, p.Restored
	return u.print(t, o.json, "removed from %s")
}

// openShared makes a client for the shared cache of --cache.
func (o *cacheOptions) openShared(say *speaker) (at registry.Reference, c *registry.Client, err error) {
	if at, err = parseSharedCache(o.sharedCache()); err != nil {
		return at, nil, err
	}
	c, err = o.registryFlags.client(say)
	return at, c, err
}

// hintShared adds to an error about a shared cache what to do.
func (o *cacheOptions) hintShared(err error, at registry.Reference) error {
	var note *registry.UseNoteError
	err = inChapter("shared-cache", err)
	switch {
	case errors.Is(err, registry.ErrNoDelete):
		return withHint(err, "allow deletion in the registry's configuration, as Docker's registry does with REGISTRY_STORAGE_DELETE_ENABLED=true; others have retention rules of their own")
	case errors.As(err, &note):
		return withHint(err, "use the newest export-profile; if it says so, too, delete the tag %s of %s", note.Note.Tag, at.Name())
	}
	return err
}
