package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

// layerFlags say how the parts of an image become layers.
type layerFlags struct {
	layers     string
	maxLayers  int
	layersFile string
	previous   string
	maxWaste   percent
	// verifyPrevious reads the layers that are kept.
	verifyPrevious bool
}

// layering is what the flags say, once they have been read.
type layering struct {
	plan.StickyOptions
	from           *imageSource // what --previous names
	verifyPrevious bool
	// vouch, if not nil, says of layers of an image in a registry why nobody who is trusted has signed what they hold.
	vouch func(context.Context, []*ocilayout.BlobSource, map[string]string) ([]error, error)
}

func (f *layerFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.layers, "layers", "auto", "divide store paths into layers: `auto|single|per-path`")
	fs.IntVar(&f.maxLayers, "max-layers", 0, "make at most `N` layers (default 60, 120 with --previous or per-path)")
	fs.StringVar(&f.layersFile, "layers-file", "", "take from `FILE` which store paths are together; each line NAME: PATTERN…")
	fs.StringVar(&f.previous, "previous", "", "keep the layers of `IMAGE` (LAYOUT[:TAG] or docker://…) as far as they are still wanted")
	f.maxWaste = plan.DefaultMaxWaste
	fs.Var(&f.maxWaste, "max-waste", "with --previous, let up to `PERCENT` of the image be what nothing sees any more before layers are rebuilt")
	fs.BoolVar(&f.verifyPrevious, "verify-previous", false, "read the layers of --previous that are kept, and keep only those that hold what they say")
}

// options reads what the flags name.
func (f *layerFlags) options() (o layering, err error) {
	o.verifyPrevious = f.verifyPrevious
	o.MaxLayers, o.MaxWaste = f.maxLayers, int(f.maxWaste)
	switch {
	case f.maxLayers < 0 || f.maxLayers > plan.MaxLayers:
		return o, usagef("as in --max-layers 40", "--max-layers: want 1 to %d layers, not %d", plan.MaxLayers, f.maxLayers)
	case f.previous == "" && f.verifyPrevious:
		return o, usagef("", "--verify-previous is about the layers of --previous, and there is none")
	case f.previous == "" && f.maxWaste != plan.DefaultMaxWaste:
		return o, usagef("", "--max-waste is about the layers of --previous, and there is none")
	}
	if f.previous != "" {
		const example = "as in --previous docker://registry.example.com/team/hello:v1"
		from, err := parseSource("--previous", example, f.previous)
		if err != nil {
			return o, err
		}
		if from.kind.archive {
			return o, usagef(example, "--previous %q: want an image in a layout or a registry", f.previous)
		}
		o.from = &from
	}
	if o.Mode, err = plan.ParseMode(f.layers); err != nil {
		return o, usagef("as in --layers single", "--layers: %v", err)
	}
	if f.layersFile == "" {
		return o, nil
	}
	if o.Mode != plan.ModeAuto {
		return o, usagef("", "--layers-file says what is together, and so does --layers %s", f.layers)
	}
	file, err := os.Open(f.layersFile)
	if err != nil {
		return o, fmt.Errorf("read layers file: %w", err)
	}
	defer file.Close()
	if o.Policy, err = plan.ParsePolicy(file); err != nil {
		return o, fmt.Errorf("read layers file %q: %w", f.layersFile, err)
	}
	return o, nil
}

// planned is how an image is divided, and what of a previous one it keeps.
type planned struct {
	layers   []ocilayout.Layer
	report   plan.Summary
	previous *ocilayout.PreviousImage // nil without one
}

// plan divides what was assembled into layers. Nothing of it is read.
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
	p.layers, p.report, err = o.planBelieved(ctx, say, all.top.Parts, all.under.overPrevious(p.previous))
	if cause := context.Cause(ctx); cause != nil {
		return p, cause
	}
	for _, reason := range p.report.Reasons {
		say.notef("%s", reason)
	}
	return p, hintMoreLayers(err, o.Options)
}

// hintMoreLayers hints at what can be done about too many layers.
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
		ways = append(ways, "put more together in the lines of --layers-file")
	}
	if len(ways) == 0 {
		return err
	}
	return withHint(err, "%s", strings.Join(ways, ", or "))
}

func (o layering) readPrevious(ctx context.Context, say *speaker, r *registryFlags) (*ocilayout.PreviousImage, error) {
	stored, err := (&sourceOpener{say: say, registry: r}).open(ctx, *o.from) // which has nothing to close
	if err != nil {
		return nil, err
	}
	return stored.ReadPrevious(ctx)
}

// changes are what is different for those who have the previous image.
type changes struct {
	Digest  string `json:"digest"`
	Kept    int    `json:"keptLayers"`
	Rebuilt int    `json:"rebuiltLayers"`
	Dropped int    `json:"droppedLayers"`
	Added   int    `json:"newLayers"`
	Fetch   int64  `json:"fetchBytes"`
	Had     int64  `json:"hadBytes"`
	Dead    int64  `json:"deadBytes"`
	Size    int64  `json:"visibleBytes"`
}

// compare compares the image that was written with the previous one.
func (p planned) compare(say *speaker, next *ocilayout.PreviousImage) *changes {
	if p.previous == nil {
		return nil
	}
	c := p.changes(p.previous.Fetch(next))
	say.notef("%s", c.words(humanBytes(c.Fetch)))
	return c
}

// changes are those from the previous image, of which there is one.
func (p planned) changes(fetch, had int64) *changes {
	return &changes{
		Digest: p.previous.Digest.String(),
		Kept:   p.report.Kept, Rebuilt: p.report.Rebuilt, Dropped: p.report.Dropped, Added: p.report.Added,
		Fetch: fetch, Had: had, Dead: p.report.Unused, Size: p.report.Size,
	}
}

// words say so in a line; what is fetched may not be known yet.
func (c *changes) words(fetched string) string {
	return fmt.Sprintf("layers: %d kept, %d rebuilt, %d dropped, %d new; whoever has the previous image fetches %s and has %s; %s of %s are dead",
		c.Kept, c.Rebuilt, c.Dropped, c.Added, fetched, humanBytes(c.Had), humanBytes(c.Dead), humanBytes(c.Size+c.Dead))
}

// has says whether the previous image, if there is one, has a blob.
func (p planned) has(d ispec.Descriptor) bool { return p.previous != nil && p.previous.Has(d.Digest) }
