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
	"github.com/export-profile/export-profile/rootfs/staging"
)

// cacheFlags locate the cache:
//
//	facts     facts about store objects (rootfs.Facts)
//	narinfo   answers of binary caches (profile/binarycache)
//	layers-1  layers (ocilayout.Cache)
//
// Large temporary files are beside them, since $TMPDIR is often memory; see cachePlace.
type cacheFlags struct {
	cache   []string
	noCache bool

	onlySpools bool // the command only puts large temporary files there
	placed     *cachePlace

	allowShared bool // --cache can name a shared cache
	// ask and tell exchange facts with a shared cache; see rootfs.Facts.
	ask  func(name string) []byte
	tell func(name string, fact []byte)
}

func (c *cacheFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.cache, "cache", nil, "keep the cache in `DIR` (default $XDG_CACHE_HOME/export-profile)")
	fs.BoolVar(&c.noCache, "no-cache", false, "neither use nor fill the cache")
}

// check refuses more than one cache of a kind, a shared cache that the command does not use, and an unsafe directory.
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
	case shared > 0 && !c.allowShared:
		return usagef("", "--cache docker://…: only image, plan and cache use a shared cache")
	case shared > 0 && c.noCache:
		return usagef("", "--cache docker://… and --no-cache exclude each other")
	case dirs > 1 || shared > 1:
		return usagef("as in --cache DIR --cache docker://registry.example.com/cache",
			"--cache: want at most one directory and one docker://, not %q", c.cache)
	}
	return nil
}

// sharedCache returns the repository of the shared cache, or "".
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
	trimmedName = "trimmed" // its time is that of the last trim
)

// cacheDir returns the directory of the cache, or "".
func (c *cacheFlags) cacheDir() string { return c.place().cache }

// spoolDir returns the directory for large temporary files.
func (c *cacheFlags) spoolDir() string { return c.place().spool }

// narInfoDir returns the directory for answers of binary caches, or "".
func (c *cacheFlags) narInfoDir() string {
	if c.noCache || c.cacheDir() == "" {
		return ""
	}
	return filepath.Join(c.cacheDir(), narInfoName)
}

// facts returns the cached facts about store objects, or nil.
func (c *cacheFlags) facts() *rootfs.Facts {
	if c.noCache || c.cacheDir() == "" {
		return nil
	}
	return &rootfs.Facts{Dir: filepath.Join(c.cacheDir(), factsName), Ask: c.ask, Tell: c.tell}
}

// layers returns the cache of layers, or nil. Without it a run is slower, and its result the same.
func (c *cacheFlags) layers(say *speaker) *ocilayout.Cache {
	if c.noCache {
		return nil
	}
	err := c.place().err
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

// trim removes unused facts and narinfo files once a day. The cache of layers trims itself.
func (c *cacheFlags) trim(say *speaker) {
	if c.noCache || c.cacheDir() == "" {
		return
	}
	mark := filepath.Join(c.cacheDir(), trimmedName)
	if fi, err := os.Lstat(mark); err == nil && time.Since(fi.ModTime()) < trimEvery {
		return
	}
	if staging.Touch(mark) != nil {
		return // an unwritable cache has nothing new to trim
	}
	for _, dir := range []string{filepath.Join(c.cacheDir(), factsName), c.narInfoDir()} {
		if _, err := rootfs.RemoveUnused(dir, keepUnused); err != nil {
			say.debugf("trim cache: %v", err)
		}
	}
}
