package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

const cacheHelp = `examples:
  export-profile cache
  export-profile cache prune
  export-profile cache prune --older-than 7d --max-size 5GB
  export-profile cache prune --all
  export-profile cache verify
  export-profile cache --cache docker://registry.example.com/cache
  export-profile cache prune --cache docker://registry.example.com/cache --older-than 60d

Shows what the cache holds, or prunes or verifies it. By default, prune removes what was not used for 30 days;
image and rootfs do that once a day by themselves. Pruning, or deleting the whole directory,
only makes the next run slower.

verify hashes everything in the cache, removes what is damaged, prints it, and then exits with status 3.
If a failing disk changes a blob, otherwise only its readers notice: verify IMAGE, a registry or a loader.
The first two also make the cache drop it.

layers are blobs that image built; a blob that is also in a layout takes space once (a hard link).
facts are what is known about the files of store objects, and narinfo are answers of binary caches.

Only this command prunes a shared cache (docker://…). Runs with a secret key leave a note of what they used, by the day.
Those without a key leave none, so choose a time in which each image is built with the key.
Runs may use the cache meanwhile. The registry must allow deletion, and frees the space when it collects garbage.
`

type cacheOptions struct {
	outputFlags
	cacheFlags
	registryFlags
	olderThan, maxSize string
	all                bool
}

func setupCache(fs *pflag.FlagSet) runFunc {
	o := &cacheOptions{}
	o.allowShared = true
	fs.StringArrayVar(&o.cache, "cache", nil, "show, prune or verify the cache in `DIR` (default $XDG_CACHE_HOME/export-profile), or show or prune a shared one in docker://REGISTRY/NAME")
	fs.StringVar(&o.olderThan, "older-than", "", "prune what was not used for `TIME`, such as 12h, 7d or 2w (default 30d)")
	fs.StringVar(&o.maxSize, "max-size", "", "prune the layers unused for longest until at most `SIZE` remains, such as 5GB or 500MiB")
	fs.BoolVar(&o.all, "all", false, "prune everything")
	o.registryFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if err := o.checkWords(); err != nil {
			return err
		}
		switch {
		case (len(args) == 0 || args[0] == "verify") && (o.olderThan != "" || o.maxSize != "" || o.all):
			return usagef("as in export-profile cache prune --older-than 7d", "cache: these flags need prune")
		case o.sharedCache() != "" && o.namedDir() != "":
			return usagef("", "cache: want one --cache, a directory or docker://…, not %q", o.cache)
		case len(args) == 0 && o.sharedCache() != "":
			return o.showShared(ctx, t)
		case len(args) == 1 && args[0] == "prune" && o.sharedCache() != "":
			return o.pruneShared(ctx, t)
		case len(args) == 1 && args[0] == "verify" && o.sharedCache() != "":
			return usagef("as in export-profile cache verify", "cache verify: runs check each blob of a shared cache when they fetch it; verify hashes a cache on this machine")
		case len(args) == 0:
			return o.show(t)
		case len(args) == 1 && args[0] == "prune":
			return o.prune(ctx, t)
		case len(args) == 1 && args[0] == "verify":
			return o.verify(ctx, t)
		}
		hint := "as in export-profile cache prune"
		if word := nearest(args[0], []string{"prune", "verify"}); word != "" {
			hint = "did you mean export-profile cache " + word + "?"
		}
		return usagef(hint, "cache: want nothing, prune or verify, not %q", args)
	}
}

// cacheUsage counts what is in the cache, for people and as JSON.
type cacheUsage struct {
	Directory string `json:"directory,omitempty"`
	Layers    struct {
		Layers int    `json:"layers"`
		Blobs  int    `json:"blobs"`
		Bytes  int64  `json:"bytes"`
		Shared int64  `json:"sharedBytes"`
		Oldest string `json:"oldest,omitempty"`
	} `json:"layers"`
	Facts   fileUsage `json:"facts"`
	NarInfo fileUsage `json:"narinfo"`
}

// fileUsage is the JSON form of rootfs.Usage.
type fileUsage struct {
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
		fmt.Fprintf(t.out, ", %s shared with layouts", humanBytes(u.Layers.Shared))
	}
	fmt.Fprintf(t.out, "\nfacts    %6d  %s\n", u.Facts.Files, humanBytes(u.Facts.Bytes))
	fmt.Fprintf(t.out, "narinfo  %6d  %s\n", u.NarInfo.Files, humanBytes(u.NarInfo.Bytes))
	return nil
}

func (o *cacheOptions) show(t terminal) error {
	return o.report(t, "%s:", (*ocilayout.Cache).Usage, rootfs.UsageOf)
}

func (o *cacheOptions) prune(ctx context.Context, t terminal) error {
	age, err := o.age()
	if err != nil {
		return err
	}
	options := ocilayout.PruneOptions{OlderThan: age}
	if o.all {
		options.OlderThan = 1
	}
	if o.maxSize != "" {
		if options.MaxSize, err = parseBytes(o.maxSize); err != nil {
			return usagef("as in --max-size 5GB", "--max-size: %v", err)
		}
	}
	return o.report(t, "removed from %s:",
		func(c *ocilayout.Cache) (ocilayout.Usage, error) { return c.Prune(ctx, options) },
		func(dir string) (rootfs.Usage, error) { return rootfs.RemoveUnused(dir, options.OlderThan) })
}

// age returns how long what is pruned was unused.
func (o *cacheOptions) age() (time.Duration, error) {
	switch {
	case o.all && (o.olderThan != "" || o.maxSize != ""):
		return 0, usagef("", "--all removes everything, so --older-than and --max-size have no effect")
	case o.olderThan == "":
		return keepUnused, nil
	}
	age, err := parseAge(o.olderThan)
	if err != nil {
		return 0, usagef("as in --older-than 7d", "--older-than: %v", err)
	}
	return age, nil
}

// report calls a function for each part of the cache and prints the sums.
func (o *cacheOptions) report(t terminal, heading string,
	layers func(*ocilayout.Cache) (ocilayout.Usage, error), files func(dir string) (rootfs.Usage, error)) error {
	u, err := o.usage(layers, files)
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprintf(t.out, heading+"\n", u.Directory)
	}
	return u.print(t, o.json)
}

// usage calls a function for each part of the cache and adds up what they return.
// It writes nothing itself, and refuses a directory that is no cache.
func (o *cacheOptions) usage(layers func(*ocilayout.Cache) (ocilayout.Usage, error), files func(dir string) (rootfs.Usage, error)) (*cacheUsage, error) {
	u := &cacheUsage{Directory: o.wantedDir()}
	if u.Directory == "" {
		return nil, withHint(fmt.Errorf("find cache: %w", errNoCacheDir), "name it with --cache DIR")
	}
	_, err := os.Stat(u.Directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	if err == nil {
		if err := isCache(u.Directory, o.namedDir() != ""); err != nil {
			return nil, err
		}
		cache, err := ocilayout.FindCache(u.Directory)
		if err != nil {
			return nil, err
		}
		l, err := layers(cache)
		if err != nil {
			return nil, err
		}
		u.setLayers(l)
	}
	for name, into := range map[string]*fileUsage{factsName: &u.Facts, narInfoName: &u.NarInfo} {
		k, err := files(filepath.Join(u.Directory, name))
		if err != nil {
			return nil, err
		}
		*into = fileUsage(k)
	}
	return u, nil
}
