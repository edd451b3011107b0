package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// planned is an image divided into layers, some of them kept from a previous image.
type planned struct {
	layers   []ocilayout.Layer
	report   plan.Summary
	previous *ocilayout.PreviousImage // or nil
}

// plan divides the assembled parts into layers. It reads no files of them.
func (o layering) plan(ctx context.Context, say *speaker, all *assembled, r *registryFlags) (p planned, err error) {
	o.BaseLayers = all.under.layers()
	if o.from == nil {
		p.layers, err = ocilayout.Plan(all.top.Parts, o.Options)
		return p, hintMoreLayers(err, o.Options)
	}
	p.previous, err = o.readPrevious(ctx, say, r)
	switch {
	case errors.Is(err, history.ErrForeign), errors.Is(err, fs.ErrNotExist): // as in the first run of a CI job
		say.notef("all layers are new: %v", err)
		p.previous = nil
	case err != nil && hint(err) != "":
		return p, err
	case err != nil:
		return p, withHint(err, "without --previous, all layers are new")
	}
	p.layers, p.report, err = o.planTrusted(ctx, say, all.top.Parts, all.under.trimPrevious(p.previous))
	if cause := context.Cause(ctx); cause != nil {
		return p, cause
	}
	for _, reason := range p.report.Reasons {
		say.notef("%s", reason)
	}
	return p, hintMoreLayers(err, o.Options)
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

func (o layering) readPrevious(ctx context.Context, say *speaker, r *registryFlags) (*ocilayout.PreviousImage, error) {
	stored, err := (&sourceOpener{say: say, registry: r}).open(ctx, *o.from) // no archive, so there is nothing to close
	if err != nil {
		return nil, err
	}
	return stored.ReadPrevious(ctx)
}

// layersOn appends the layers of an overlay to the planned ones.
func layersOn(planned []ocilayout.Layer, top []overlay.Layer) []ocilayout.Layer {
	for _, l := range top {
		planned = append(planned, ocilayout.Layer{Parts: []rootfs.Part{l.Part}, Hidden: l.Hidden, Changes: l.Changes})
	}
	return planned
}
