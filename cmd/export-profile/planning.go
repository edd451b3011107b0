package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"
)

// planning is what plan and report have in common: an image is assembled and divided into layers, and none is made.
type planning struct {
	imageConfig
	layerFlags
	registryFlags
	documentFlag
}

// flags are those beside an assembly's.
func (p *planning) flags(fs *pflag.FlagSet) {
	p.platformFlags(fs, &p.registryFlags)
	p.layerFlags.flags(fs)
	p.registryFlags.flags(fs)
	p.documentFlag.flags(fs)
}

// assemblePlanned assembles an image and divides it. A shared cache, if there is one, vouches for what is kept of a previous image.
func (p *planning) assemblePlanned(ctx context.Context, t terminal, say *speaker, shared *sharedCache) (_ *assembled, _ planned, err error) {
	image, err := p.image()
	if err != nil {
		return nil, planned{}, err
	}
	layering, err := p.layerFlags.options()
	if err != nil {
		return nil, planned{}, err
	}
	layering.vouch = shared.voucher()
	all, err := p.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return nil, planned{}, err
	}
	plan, err := layering.plan(ctx, say, all, &p.registryFlags)
	if err != nil {
		return nil, planned{}, errors.Join(err, all.Close())
	}
	return all, plan, nil
}
