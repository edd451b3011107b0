package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

// layerFlags divide the parts of an image into layers.
type layerFlags struct {
	layers         string
	maxLayers      int
	layersFile     string
	previous       string
	maxWaste       percent
	verifyPrevious bool
}

func (f *layerFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.layers, "layers", "auto", "`auto|single|per-path` divide store paths into layers")
	fs.IntVar(&f.maxLayers, "max-layers", 0, "make at most `N` layers (default 100; 120 with --previous or --layers per-path)")
	fs.StringVar(&f.layersFile, "layers-file", "", "read from `FILE` which store paths share a layer; a line is NAME: PATTERN…")
	fs.StringVar(&f.previous, "previous", "", "keep the layers of `IMAGE`, such as the last release (oci:DIR[:TAG] or docker://…), that are still needed")
	f.maxWaste = plan.DefaultMaxWaste
	fs.Var(&f.maxWaste, "max-waste", "with --previous, rebuild layers once more than `PERCENT` of the image is no longer used")
	fs.BoolVar(&f.verifyPrevious, "verify-previous", false, "read the layers that --previous keeps, and rebuild those that do not hold what the image says")
}

// layerOptions holds the parsed layerFlags.
type layerOptions struct {
	plan.StickyOptions
	compression    compress.Method
	previous       *imageName // nil without --previous
	verifyPrevious bool
	// vouch, if not nil, returns why a layer of a registry has no trusted signature, or nil for each that has one.
	vouch func(context.Context, []*ocilayout.BlobSource, map[string]string) ([]error, error)
}

// options parses the flags, and reads the file and the name in them. The layers will be compressed with z.
func (f *layerFlags) options(z compress.Method) (o layerOptions, err error) {
	o.verifyPrevious, o.compression = f.verifyPrevious, z
	o.MaxLayers, o.MaxWaste = f.maxLayers, int(f.maxWaste)
	switch {
	case f.maxLayers < 0 || f.maxLayers > plan.MaxLayers:
		return o, usagef("as in --max-layers 40", "--max-layers: want 1 to %d layers, not %d", plan.MaxLayers, f.maxLayers)
	case f.previous == "" && f.verifyPrevious:
		return o, usagef("", "--verify-previous needs --previous")
	case f.previous == "" && f.maxWaste != plan.DefaultMaxWaste:
		return o, usagef("", "--max-waste needs --previous")
	}
	if f.previous != "" {
		const example = "as in --previous docker://registry.example.com/team/hello:v1"
		from, err := parseImageName("--previous", example, f.previous)
		if err != nil {
			return o, err
		}
		if from.transport.archive {
			return o, usagef(example, "--previous %q: want an image in a layout or a registry", f.previous)
		}
		o.previous = &from
	}
	if o.Mode, err = plan.ParseMode(f.layers); err != nil {
		return o, usagef("as in --layers single", "--layers: %v", err)
	}
	if f.layersFile == "" {
		return o, nil
	}
	if o.Mode != plan.ModeAuto {
		return o, usagef("", "--layers-file and --layers %s both divide store paths into layers", f.layers)
	}
	file, err := os.Open(f.layersFile)
	if err != nil {
		return o, inChapter("layers", fmt.Errorf("read layers file: %w", err))
	}
	defer file.Close()
	if o.Policy, err = plan.ParsePolicy(file); err != nil {
		return o, inChapter("layers", fmt.Errorf("read layers file %q: %w", f.layersFile, err))
	}
	return o, nil
}

// parseCompression parses --compression. An empty word is the default.
func parseCompression(word string) (c compress.Method, err error) {
	if word == "" {
		return c, nil
	}
	if c, err = compress.Parse(word); err != nil {
		return c, usagef("as in --compression zstd:3", "--compression: %v", err)
	}
	return c, nil
}

// checkCarries refuses a destination that has no place for what a compression adds to the manifest.
func checkCarries(word string, z compress.Method) error {
	if k, _, _ := transportOf(word); z.Chunked() && k.plain {
		return usagef("write "+ociArchivePrefix+"FILE, or compress with --compression zstd",
			"destination %q: %s has no place for the tables of --compression zstd:chunked", word, k.prefix)
	}
	return nil
}

// percent is a flag of 0 to 100 percent, with or without the sign.
type percent int

func (p *percent) Set(s string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
	if err != nil || n < 0 || n > 100 {
		return errors.New("want 0 to 100 percent, a whole number, as in 5 or 5%")
	}
	*p = percent(n)
	return nil
}

func (p *percent) String() string { return strconv.Itoa(int(*p)) }

// Type is that of the JSON schema. Image files may also have 5%.
func (p *percent) Type() string { return "int" }
