package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"
)

// planning holds the flags that plan and report share: both assemble an image and divide it into layers, but make none.
type planning struct {
	imageConfig
	layerFlags
	registryFlags
	imageFile
}

// flags adds all flags but those of the assembly.
func (p *planning) flags(fs *pflag.FlagSet) {
	p.platformFlags(fs, &p.registryFlags)
	p.layerFlags.flags(fs)
	p.registryFlags.flags(fs)
	p.imageFile.flags(fs)
}

// assemblePlanned assembles an image and divides it into layers.
// A shared cache, if not nil, vouches for the layers kept from a previous image.
func (p *planning) assemblePlanned(ctx context.Context, t terminal, say *speaker, shared *sharedCache) (_ *assembled, _ planned, err error) {
	image, err := p.newImage()
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
