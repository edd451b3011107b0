package main

import (
	"context"
	"errors"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

const planHelp = `examples:
  export-profile plan
  export-profile plan --profile ./result --previous oci:hello:v1
  export-profile plan --from hello.export --layers-file layers --json
  export-profile plan --previous docker://registry.example.com/hello:v1 docker://registry.example.com/hello:v2
  export-profile plan --file web.yaml

Shows what image would do, layer by layer, without building anything: the contents of each layer,
what the cache and the previous image already have, and how much image would build and send.

A layer is built, cached (in the cache on this machine), recompressed (cached with another compression),
fetched (from a shared cache) or reused (from the previous image or the base image).

plan knows the size of a blob if a cache, the previous image or the base image has it.
Otherwise it shows the size of the layer's contents.
If DEST is in a registry, plan asks the registry which blobs it has.
It does not count the manifest and the config, a few kilobytes.
If known blobs are zstd:chunked layers, plan reads their tables and says what a node with the previous image
fetches of them by chunks; see diff. It does not know this of layers that are not built yet.
plan reads a shared cache (--cache docker://…) and adds nothing to it.

On a terminal, each layer has a bar:
█ is in the previous image, ▓ in a cache, ▒ must be compressed again, and ░ must be built.
`

type planOptions struct {
	planFlags
	sharedCacheFlags
	outputFlags
	bars        barsFlag
	compression string
}

func setupPlan(fs *pflag.FlagSet) runFunc {
	o := &planOptions{}
	o.assemblyFlags.flags(fs)
	fs.StringVar(&o.compression, "compression", "", "`none|gzip|zstd|zstd:chunked[:LEVEL]` plan for layers compressed like this (default gzip:2)")
	o.planFlags.flags(fs)
	workdirFlag(fs, &o.config.workdir)
	o.sharedCacheFlags.flags(fs, &o.cacheFlags)
	o.outputFlags.flags(fs)
	o.bars.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) > 1 {
			return usagef(wordsHint("plan", args, "docker://registry.example.com/team/hello:v1"), "plan: want one destination at most, not %d", len(args))
		}
		destination, err := o.imageFile.read(fs, t.in, &o.cacheFlags)
		if err != nil {
			return err
		}
		if len(args) == 1 {
			destination = args[0]
		}
		return o.run(ctx, t, destination)
	}
}

func (o *planOptions) run(ctx context.Context, t terminal, word string) (err error) {
	say := o.speaker(t)
	defer say.close()
	z, err := parseCompression(o.compression)
	if err != nil {
		return err
	}
	to, err := plannedRepository(word)
	if err != nil {
		return err
	}
	if err := checkCarries(word, z); err != nil {
		return err
	}
	options, err := o.settings(&o.cacheFlags)
	if err != nil {
		return err
	}
	options.readOnly()
	known := exists(o.wantedDir()) // before assembling creates it
	shared, err := options.open(ctx, &o.registryFlags, nil, say)
	if err != nil {
		return err
	}
	shared.serve(ctx, &o.cacheFlags)
	a, plan, err := o.assemblePlanned(ctx, t, say, z, shared)
	if err != nil {
		return err
	}
	defer say.closing(&err, a)
	var cache *ocilayout.Cache
	if known { // plan must not make a cache
		cache = o.cacheFlags.layers(say)
	}
	layers, err := shared.find(ctx, layersOn(plan.layers, a), z, cache)
	if err != nil {
		return err
	}
	p := newPlanResult(layers, cache.Forecast(layers, z))
	had := plan.has
	if to != nil {
		p.Repository = to.Name()
		if had, err = o.present(ctx, say, to, append(p.blobs(), a.baseImage.blobs()...)); err != nil {
			return err
		}
	}
	p.Send, p.Had = p.transfer(a.baseImage.blobs(), had)
	if plan.previous != nil {
		p.Previous = plan.update(p.transfer(a.baseImage.blobs(), plan.has))
		f, err := plan.previous.FetchChunks(ctx, append(p.blobs(), a.baseImage.blobs()...), openKnown(cache, layers, a.baseImage))
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		p.Previous.set(f, err)
		if p.Previous.Chunks == nil && p.Previous.ChunksUnknown == "" && p.Unknown > 0 && z.Chunked() {
			p.Previous.ChunksUnknown = "its new layers are not built yet"
		}
	}
	if o.json {
		return printJSON(t.out, p)
	}
	return p.print(t.out, o.bars.columns(t.out))
}

// openKnown returns what opens a part of a known blob: of the shared cache, the base image or this machine's cache.
func openKnown(cache *ocilayout.Cache, layers []ocilayout.Layer, base *baseImage) ocilayout.OpenRange {
	from := make(map[string]ocilayout.OpenRange) // by digest
	for _, l := range layers {
		if l.Shared != nil && l.Shared.OpenRange != nil {
			from[l.Shared.Descriptor.Digest.String()] = l.Shared.OpenRange
		}
	}
	for _, d := range base.blobs() {
		from[d.Digest.String()] = base.image.OpenRange
	}
	return func(ctx context.Context, d ispec.Descriptor, offset, length int64) (io.ReadCloser, error) {
		if open := from[d.Digest.String()]; open != nil {
			return open(ctx, d, offset, length)
		}
		if cache == nil {
			return nil, errors.New("it is not on this machine")
		}
		return cache.OpenRange(ctx, d, offset, length)
	}
}

// plannedRepository returns the repository that an image would be pushed to, or nil if it would go into a file.
func plannedRepository(word string) (*registry.Reference, error) {
	if word == "" {
		return nil, nil
	}
	d, err := parseDestination(word, nil)
	if err != nil {
		return nil, err
	}
	return d.repository(), nil
}

// present asks the registry which blobs it has. If that fails, it notes why and assumes none.
func (o *planOptions) present(ctx context.Context, say *speaker, to *registry.Reference, blobs []ispec.Descriptor) (func(ispec.Descriptor) bool, error) {
	client, err := o.registryFlags.client(say)
	if err != nil {
		return nil, err
	}
	present, err := client.Present(ctx, *to, blobs)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		say.notef("the blobs of %s are unknown: %v", to.Name(), err)
	}
	return func(d ispec.Descriptor) bool { return present[d.Digest] }, nil
}

// planFlags are the flags that plan and report share: both assemble an image and divide it into layers, but make none.
type planFlags struct {
	imageFlags
	layerFlags
	registryFlags
	imageFile
}

// flags adds all flags but those of assemblyFlags.
func (f *planFlags) flags(fs *pflag.FlagSet) {
	f.platformFlags(fs, &f.registryFlags)
	f.layerFlags.flags(fs)
	f.registryFlags.flags(fs)
	f.imageFile.flags(fs)
}

// assemblePlanned assembles an image and divides it into layers.
// A shared cache, if not nil, vouches for the layers kept from a previous image. New layers would be compressed with z.
func (f *planFlags) assemblePlanned(ctx context.Context, t terminal, say *speaker, z compress.Method, shared *sharedCache) (_ *assembly, _ layerPlan, err error) {
	image, err := f.newImage()
	if err != nil {
		return nil, layerPlan{}, err
	}
	layers, err := f.layerFlags.options(z)
	if err != nil {
		return nil, layerPlan{}, err
	}
	layers.vouch = shared.voucher()
	a, err := f.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return nil, layerPlan{}, err
	}
	plan, err := layers.plan(ctx, say, a, &f.registryFlags)
	if err != nil {
		return nil, layerPlan{}, errors.Join(err, a.Close())
	}
	return a, plan, nil
}
