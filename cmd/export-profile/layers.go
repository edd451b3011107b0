package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// layerPlan is an image divided into layers, some of them kept from a previous image.
type layerPlan struct {
	layers   []ocilayout.Layer
	summary  plan.Summary
	previous *ocilayout.PreviousImage // or nil
}

// plan divides the parts of an assembly into layers. It reads none of their files.
func (o layerOptions) plan(ctx context.Context, say *speaker, a *assembly, r *registryFlags) (p layerPlan, err error) {
	o.BaseLayers = a.baseImage.layers()
	if o.previous == nil {
		p.layers, err = ocilayout.Plan(a.overlay.Parts, o.Options)
		return p, hintMoreLayers(err, o.Options)
	}
	p.previous, err = o.readPrevious(ctx, say, r)
	switch {
	case errors.Is(err, history.ErrForeign), errors.Is(err, fs.ErrNotExist): // as in the first run of a CI job
		say.notef("all layers are new: %v", err)
		p.previous = nil
	case err != nil && hint(err) != "":
		return p, inChapter("updates", err)
	case err != nil:
		return p, inChapter("updates", withHint(err, "without --previous, all layers are new"))
	case p.previous.StoreDir() != a.closure.StoreDir:
		say.notef("all layers are new: the previous image has the store directory %s, not %s", p.previous.StoreDir(), a.closure.StoreDir)
		p.previous = nil
	}
	p.layers, p.summary, err = o.planTrusted(ctx, say, a.overlay.Parts, a.baseImage.trimPrevious(p.previous))
	if cause := context.Cause(ctx); cause != nil {
		return p, cause
	}
	for _, reason := range p.summary.Reasons {
		say.notef("%s", reason)
	}
	o.notePlain(say, p.layers)
	return p, hintMoreLayers(err, o.Options)
}

// notePlain says how many layers are kept without the chunks that --compression asks for: a kept layer stays as it is.
func (o layerOptions) notePlain(say *speaker, layers []ocilayout.Layer) {
	plain := 0
	for _, l := range layers {
		if l.Reuse != nil && !l.Reuse.Chunked() {
			plain++
		}
	}
	if o.compression.Chunked() && plain > 0 {
		say.notef("kept %s of the previous image without chunks: leave out --previous once, and all layers are compressed with %v",
			count(plain, "layer"), o.compression)
	}
}

// hintMoreLayers adds a hint to an error about too many layers.
func hintMoreLayers(err error, o plan.Options) error {
	if !errors.Is(err, plan.ErrTooManyLayers) {
		return err
	}
	most := o.MaxLayers
	if most == 0 && o.Mode == plan.ModePerPath {
		most = plan.MaxLayers
	}
	var ways []string
	if most < plan.MaxLayers {
		ways = append(ways, fmt.Sprintf("allow more with --max-layers, up to %d", plan.MaxLayers))
	}
	switch {
	case o.Mode == plan.ModePerPath:
		ways = append(ways, "leave the division to --layers auto")
	case o.Policy != nil:
		ways = append(ways, "group more store paths in each line of --layers-file")
	}
	if len(ways) == 0 {
		return err
	}
	return withHint(err, "%s", strings.Join(ways, ", or "))
}

func (o layerOptions) readPrevious(ctx context.Context, say *speaker, r *registryFlags) (*ocilayout.PreviousImage, error) {
	source, err := (&imageOpener{say: say, registry: r}).open(ctx, *o.previous) // no archive, so there is nothing to close
	if err != nil {
		return nil, err
	}
	return source.ReadPrevious(ctx)
}

// layersOn appends the layers of the overlay to those of a plan.
func layersOn(planned []ocilayout.Layer, a *assembly) []ocilayout.Layer {
	for _, l := range a.overlay.Layers {
		planned = append(planned, ocilayout.Layer{StoreDir: a.closure.StoreDir, Parts: []rootfs.Part{l.Part}, Hidden: l.Hidden, Changes: l.Changes})
	}
	return planned
}

// imageUpdate is the step from the previous image to the new one, for a machine that has the previous one.
type imageUpdate struct {
	Digest  string `json:"digest"`
	Kept    int    `json:"keptLayers"`
	Rebuilt int    `json:"rebuiltLayers"`
	Dropped int    `json:"droppedLayers"`
	Added   int    `json:"newLayers"`
	Fetch   int64  `json:"fetchBytes"`
	Had     int64  `json:"hadBytes"`
	Unused  int64  `json:"deadBytes"`
	Size    int64  `json:"visibleBytes"`

	fetchedChunks
}

// compare compares the image in a layout with the previous one. It returns nil if there is none.
// It reads the tables of chunks, if they are to be said, from this machine or from elsewhere.
func (p layerPlan) compare(ctx context.Context, say *speaker, l *ocilayout.Layout, elsewhere ocilayout.OpenRange) *imageUpdate {
	if p.previous == nil {
		return nil
	}
	c := p.update(p.previous.Fetch(l.LastImage()))
	if say.json || !say.quiet {
		c.set(l.FetchChunks(ctx, p.previous, elsewhere))
	}
	return c
}

// note says what changed.
func (c *imageUpdate) note(say *speaker) {
	if c == nil {
		return
	}
	say.notef("%s", c.words(humanBytes(c.Fetch)))
	if words := c.fetchedChunks.words(); words != "" {
		say.notef("%s", strings.TrimSuffix(words, "\n"))
	}
}

// update returns the step from the previous image, which must not be nil.
func (p layerPlan) update(fetch, had int64) *imageUpdate {
	return &imageUpdate{
		Digest: p.previous.Digest.String(),
		Kept:   p.summary.Kept, Rebuilt: p.summary.Rebuilt, Dropped: p.summary.Dropped, Added: p.summary.Added,
		Fetch: fetch, Had: had, Unused: p.summary.Unused, Size: p.summary.Size,
	}
}

// words describes the update in one line. Before the layers are built, fetched is an estimate.
func (c *imageUpdate) words(fetched string) string {
	return fmt.Sprintf("layers: %d kept, %d rebuilt, %d dropped, %d new; a holder of the previous image fetches %s and has %s; %s of %s are no longer used",
		c.Kept, c.Rebuilt, c.Dropped, c.Added, fetched, humanBytes(c.Had), humanBytes(c.Unused), humanBytes(c.Size+c.Unused))
}

// has says whether there is a previous image with this blob.
func (p layerPlan) has(d ispec.Descriptor) bool { return p.previous != nil && p.previous.Has(d.Digest) }
