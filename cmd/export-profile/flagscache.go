package main

import (
	"errors"
	"os"
	"path/filepath"
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

func (c *cacheFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.cache, "cache", nil, "keep the cache in `DIR` (default $XDG_CACHE_HOME/export-profile)")
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
		if strings.HasPrefix(word, registryPrefix) {
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
		if name, ok := strings.CutPrefix(word, registryPrefix); ok {
			return name
		}
	}
	return ""
}

const (
	factsName   = "facts"
	narInfoName = "narinfo"
	trimmedName = "trimmed" // whose time says when it was done last
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
	mark := filepath.Join(c.cacheDir(), trimmedName)
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
