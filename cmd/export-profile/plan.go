package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

const planHelp = `examples:
  export-profile plan
  export-profile plan --profile ./result --previous oci:hello:v1
  export-profile plan --from hello.export --layers-file layers --json

Shows what image would do, layer by layer, and builds nothing: what is in each, what of it the cache has,
what a previous image has, and how much would have to be built.
`

type planOptions struct {
	assembly
	layerFlags
	registryFlags
	saying
	compression string
}

func setupPlan(fs *pflag.FlagSet) runFunc {
	o := &planOptions{}
	o.assembly.flags(fs)
	fs.StringVar(&o.compression, "compression", "", "as image would compress layers: `none|gzip|zstd[:LEVEL]` (default gzip:2)")
	o.under.flags(fs, &o.registryFlags)
	o.layerFlags.flags(fs)
	o.registryFlags.flags(fs)
	o.saying.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) != 0 {
			return usagef("as in export-profile plan --profile ./result", "plan: want no arguments, not %q", args)
		}
		return o.run(ctx, t)
	}
}

func (o *planOptions) run(ctx context.Context, t terminal) (err error) {
	say := o.speaker(t)
	defer say.close()
	layering, err := o.layerFlags.options()
	if err != nil {
		return err
	}
	z, err := parseCompression(o.compression)
	if err != nil {
		return err
	}
	known := exists(o.wantedDir()) // before something is remembered there
	all, err := o.assemble(ctx, t, say, ispec.Platform{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	plan, err := o.plan(ctx, say, all, layering, &o.registryFlags)
	if err != nil {
		return err
	}
	layers := layersOn(plan.layers, all.top.Layers)
	var cache *ocilayout.Cache
	if known { // looking should not make one
		cache = o.cacheFlags.layers(say)
	}
	p := newPlanResult(layers, cache.Known(layers, z))
	if o.json {
		return printJSON(t.out, p)
	}
	return p.print(t.out)
}

// planResult is what the command prints.
type planResult struct {
	Layers    []plannedLayer `json:"layers"`
	Size      int64          `json:"size"`            // of all that is visible, in bytes, not compressed
	Build     int64          `json:"buildBytes"`      // of what no cache and no previous image has, not compressed
	Repack    int64          `json:"recompressBytes"` // of what the cache has in another compression, not compressed
	Cached    int64          `json:"cachedBlobBytes"`
	Reused    int64          `json:"reusedBlobBytes"` // what whoever has the previous image has already
	NewLayers int            `json:"newLayers"`
}

type plannedLayer struct {
	How    string   `json:"how"` // built, recompressed, cached or reused
	Size   int64    `json:"size"`
	Blob   string   `json:"blob,omitempty"`
	Bytes  int64    `json:"blobBytes,omitempty"`
	Parts  []string `json:"parts"` // names of store objects, or base
	Hidden []string `json:"hidden,omitempty"`
}

func newPlanResult(layers []ocilayout.Layer, known []ocilayout.Known) planResult {
	p := planResult{Layers: []plannedLayer{}}
	for i, l := range layers {
		k := known[i]
		row := plannedLayer{How: k.How.String(), Size: l.Size(), Bytes: k.Blob.Size, Blob: k.Blob.Digest.String(), Hidden: l.Hidden, Parts: names(l.Parts)}
		switch p.Size += row.Size; k.How {
		case ocilayout.Built:
			p.Build += row.Size
		case ocilayout.Recompressed:
			p.Repack += row.Size
		case ocilayout.Cached:
			p.Cached += row.Bytes
		case ocilayout.Reused:
			p.Reused += row.Bytes
		}
		if k.How != ocilayout.Reused {
			p.NewLayers++
		}
		p.Layers = append(p.Layers, row)
	}
	return p
}

func names(parts []rootfs.Part) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return names
}

func (p planResult) print(w io.Writer) error {
	var b strings.Builder
	for i, l := range p.Layers {
		fmt.Fprintf(&b, "%3d  %-12s %10s  %s\n", i+1, l.How, nixSize(l.Size), few(l.Parts))
	}
	fmt.Fprintf(&b, "%d layers, %s: %s to build, %s to compress again\n", len(p.Layers), nixSize(p.Size),
		nixSize(p.Build), nixSize(p.Repack))
	if p.Reused > 0 {
		fmt.Fprintf(&b, "%s of blobs are those of the previous image; %d layers are new\n", nixSize(p.Reused), p.NewLayers)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// few are the first names, without their hashes, and how many more there are.
func few(parts []string) string {
	const most = 4
	var words []string
	for i, p := range parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(parts)-most))
			break
		}
		if len(p) > 33 && p[32] == '-' {
			p = p[33:]
		}
		words = append(words, p)
	}
	return strings.Join(words, " ")
}
