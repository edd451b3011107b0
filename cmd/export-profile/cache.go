package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// cacheFlags say where what the next run need not do again is kept:
//
//	facts     what is known of store objects (rootfs.Facts)
//	narinfo   what servers have said of them (profile/binarycache)
//	layers-1  layers (ocilayout.Cache)
//
// Large temporary files lie beside it, since $TMPDIR is often memory; see cachePlace.
type cacheFlags struct {
	cache   []string
	noCache bool

	onlySpools bool // the command has no use for it but for large temporary files
	placed     *cachePlace

	shares bool // a flag can name a cache that other machines share
	// What other machines know of store objects, if so; see rootfs.Facts.
	ask  func(name string) []byte
	tell func(name string, fact []byte)
}

const sharedPrefix = "docker://"

func (c *cacheFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.cache, "cache", nil, "keep in `DIR` what the next run need not do again (default $XDG_CACHE_HOME/export-profile)")
	fs.BoolVar(&c.noCache, "no-cache", false, "neither use nor fill the cache")
}

// check refuses what has more than one place, or a place that the command has no use for or that is not safe.
func (c *cacheFlags) check() error {
	if err := c.checkWords(); err != nil {
		return err
	}
	return c.refusal()
}

func (c *cacheFlags) checkWords() error {
	dirs, shared := 0, 0
	for _, word := range c.cache {
		if strings.HasPrefix(word, sharedPrefix) {
			shared++
		} else if word != "" {
			dirs++
		}
	}
	switch {
	case shared > 0 && !c.shares:
		return usagef("", "--cache docker://…: only image shares its cache, when it makes layers, and plan looks there")
	case shared > 0 && c.noCache:
		return usagef("", "--cache docker://… is a cache, and --no-cache uses none")
	case dirs > 1 || shared > 1:
		return usagef("as in --cache DIR --cache docker://registry.example.com/cache",
			"--cache: want at most one directory and one docker://, not %q", c.cache)
	}
	return nil
}

// sharedCache is the repository of a cache that several machines share, or "".
func (c *cacheFlags) sharedCache() string {
	for _, word := range c.cache {
		if name, ok := strings.CutPrefix(word, sharedPrefix); ok {
			return name
		}
	}
	return ""
}

const (
	factsName   = "facts"
	narInfoName = "narinfo"
)

// cacheDir is where things are remembered, or "".
func (c *cacheFlags) cacheDir() string { return c.place().cache }

// spoolDir is where large temporary files lie.
func (c *cacheFlags) spoolDir() string { return c.place().spool }

// narInfoDir is "" if nothing is remembered.
func (c *cacheFlags) narInfoDir() string {
	if c.noCache || c.cacheDir() == "" {
		return ""
	}
	return filepath.Join(c.cacheDir(), narInfoName)
}

// facts are what is remembered of store objects, or nil.
func (c *cacheFlags) facts() *rootfs.Facts {
	if c.noCache || c.cacheDir() == "" {
		return nil
	}
	return &rootfs.Facts{Dir: filepath.Join(c.cacheDir(), factsName), Ask: c.ask, Tell: c.tell}
}

// layers is the cache of layers, or nil: without one, a run is slower and nothing else.
func (c *cacheFlags) layers(say *speaker) *ocilayout.Cache {
	if c.noCache {
		return nil
	}
	err := c.place().lacks
	if errors.Is(err, errNoCacheDir) {
		say.debugf("there is no cache: %v", err)
		return nil
	}
	var cache *ocilayout.Cache
	if err == nil {
		cache, err = ocilayout.OpenCache(c.cacheDir())
	}
	if err != nil {
		say.notef("without a cache, this takes longer: %v", err)
		return nil
	}
	return cache
}

const (
	keepUnused = 30 * 24 * time.Hour
	trimEvery  = 24 * time.Hour
)

// trim removes once a day what nobody has used for long. Layers do so by themselves.
func (c *cacheFlags) trim(say *speaker) {
	if c.noCache || c.cacheDir() == "" {
		return
	}
	mark := filepath.Join(c.cacheDir(), "trimmed")
	if fi, err := os.Lstat(mark); err == nil && time.Since(fi.ModTime()) < trimEvery {
		return
	}
	if os.WriteFile(mark, nil, 0o644) != nil || os.Chtimes(mark, time.Time{}, time.Now()) != nil {
		return // nothing was kept, either
	}
	for _, dir := range []string{filepath.Join(c.cacheDir(), factsName), c.narInfoDir()} {
		if _, err := rootfs.RemoveUnused(dir, keepUnused); err != nil {
			say.debugf("trim cache: %v", err)
		}
	}
}

const cacheHelp = `examples:
  export-profile cache
  export-profile cache prune
  export-profile cache prune --older-than 7d --max-size 5GB
  export-profile cache prune --all

Shows what the cache has, or removes what was not used for 30 days, which image and rootfs do once a day, too.
Whatever is removed makes the next run slower and nothing else; so does deleting the directory.
`

type cacheOptions struct {
	saying
	cacheFlags
	olderThan, maxSize string
	all                bool
}

func setupCache(fs *pflag.FlagSet) runFunc {
	o := &cacheOptions{}
	fs.StringArrayVar(&o.cache, "cache", nil, "the cache is in `DIR` (default $XDG_CACHE_HOME/export-profile)")
	fs.StringVar(&o.olderThan, "older-than", "", "prune what was not used for `TIME`, as in 12h or 7d (default 30d)")
	fs.StringVar(&o.maxSize, "max-size", "", "prune layers, the longest unused first, until they have at most `SIZE` bytes, as in 5GB or 500MiB")
	fs.BoolVar(&o.all, "all", false, "prune everything")
	o.saying.jsonFlag(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := o.checkWords(); err != nil {
			return err
		}
		switch {
		case len(args) == 0 && (o.olderThan != "" || o.maxSize != "" || o.all):
			return usagef("as in export-profile cache prune --older-than 7d", "cache: to remove something, say prune")
		case len(args) == 0:
			return o.show(t)
		case len(args) == 1 && args[0] == "prune":
			return o.prune(ctx, t)
		}
		return usagef("as in export-profile cache prune", "cache: want nothing or prune, not %q", args)
	}
}

// cacheUsage is what the command prints.
type cacheUsage struct {
	Directory string `json:"directory,omitempty"`
	Layers    struct {
		Layers int    `json:"layers"`
		Blobs  int    `json:"blobs"`
		Bytes  int64  `json:"bytes"`
		Shared int64  `json:"sharedBytes"`
		Oldest string `json:"oldest,omitempty"`
	} `json:"layers"`
	Facts   kept `json:"facts"`
	NarInfo kept `json:"narinfo"`
}

// kept is rootfs.Kept as JSON has it.
type kept struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (u *cacheUsage) setLayers(l ocilayout.Usage) {
	u.Layers.Layers, u.Layers.Blobs, u.Layers.Bytes, u.Layers.Shared = l.Layers, l.Blobs, l.Bytes, l.Shared
	if !l.Oldest.IsZero() {
		u.Layers.Oldest = l.Oldest.UTC().Format(time.DateOnly)
	}
}

func (u *cacheUsage) print(t terminal, json bool) error {
	if json {
		return printJSON(t.out, u)
	}
	fmt.Fprintf(t.out, "layers   %6d  %s in %d blobs", u.Layers.Layers, humanBytes(u.Layers.Bytes), u.Layers.Blobs)
	if u.Layers.Shared > 0 {
		fmt.Fprintf(t.out, ", of which layouts share %s", humanBytes(u.Layers.Shared))
	}
	fmt.Fprintf(t.out, "\nfacts    %6d  %s\n", u.Facts.Files, humanBytes(u.Facts.Bytes))
	fmt.Fprintf(t.out, "narinfo  %6d  %s\n", u.NarInfo.Files, humanBytes(u.NarInfo.Bytes))
	return nil
}

func (o *cacheOptions) show(t terminal) error {
	return o.report(t, "%s:", (*ocilayout.Cache).Usage, rootfs.Usage)
}

func (o *cacheOptions) prune(ctx context.Context, t terminal) error {
	options := ocilayout.PruneOptions{OlderThan: keepUnused}
	var err error
	switch {
	case o.all && (o.olderThan != "" || o.maxSize != ""):
		return usagef("", "--all leaves nothing, and --older-than and --max-size say what to leave")
	case o.all:
		options.OlderThan = 1
	case o.olderThan != "":
		if options.OlderThan, err = parseAge(o.olderThan); err != nil {
			return usagef("as in --older-than 7d", "--older-than: %v", err)
		}
	}
	if o.maxSize != "" {
		if options.MaxSize, err = parseBytes(o.maxSize); err != nil {
			return usagef("as in --max-size 5GB", "--max-size: %v", err)
		}
	}
	return o.report(t, "removed from %s:",
		func(c *ocilayout.Cache) (ocilayout.Usage, error) { return c.Prune(ctx, options) },
		func(dir string) (rootfs.Kept, error) { return rootfs.RemoveUnused(dir, options.OlderThan) })
}

// report does something to each part of the cache and prints what that says.
// Nothing is written but what that does, and a directory that is no cache is left alone.
func (o *cacheOptions) report(t terminal, heading string,
	layers func(*ocilayout.Cache) (ocilayout.Usage, error), files func(dir string) (rootfs.Kept, error)) error {
	u := cacheUsage{Directory: o.wantedDir()}
	if u.Directory == "" {
		return withHint(fmt.Errorf("find cache: %w", errNoCacheDir), "name it with --cache DIR")
	}
	if exists(u.Directory) {
		if err := isCache(u.Directory, o.namedDir() != ""); err != nil {
			return err
		}
		cache, err := ocilayout.FindCache(u.Directory)
		if err != nil {
			return err
		}
		l, err := layers(cache)
		if err != nil {
			return err
		}
		u.setLayers(l)
	}
	for name, into := range map[string]*kept{factsName: &u.Facts, narInfoName: &u.NarInfo} {
		k, err := files(filepath.Join(u.Directory, name))
		if err != nil {
			return err
		}
		*into = kept(k)
	}
	if !o.json {
		fmt.Fprintf(t.out, heading+"\n", u.Directory)
	}
	return u.print(t, o.json)
}

// parseAge parses a duration, also in days.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%q: want days, as in 7d", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a time, as in 12h or 7d", s)
	}
	return d, nil
}

// units of bytes, those with longer names first.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"B", 1}, {"", 1},
}

// parseBytes parses a number of bytes with or without a unit.
func parseBytes(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(n > 0 && n*float64(u.bytes) < 1<<62) || n*float64(u.bytes) < 1 {
			break
		}
		return int64(n * float64(u.bytes)), nil
	}
	return 0, fmt.Errorf("%q: want bytes, as in 500MB or 2GiB", s)
}

// humanBytes is a number of bytes as people read it.
func humanBytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
