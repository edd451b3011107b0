package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/rootfs"
)

// verify hashes everything in the cache, and removes and lists what is damaged.
func (o *cacheOptions) verify(ctx context.Context, t terminal) error {
	say := o.speaker(t)
	defer say.close()
	var damage []ocilayout.Damage
	files := func(dir string) (rootfs.Usage, error) {
		check := rootfs.VerifyFacts
		if filepath.Base(dir) == narInfoName {
			check = source.VerifyNarInfos
		}
		names, err := check(ctx, dir)
		for _, name := range names {
			damage = append(damage, ocilayout.Damage{File: filepath.Join(filepath.Base(dir), name), What: "is damaged"})
		}
		if err != nil {
			return rootfs.Usage{}, fmt.Errorf("verify cache: %w", err)
		}
		return rootfs.UsageOf(dir)
	}
	layers := func(c *ocilayout.Cache) (ocilayout.Usage, error) {
		had, err := c.Usage()
		if err != nil {
			return had, err
		}
		hashing := say.progress("hashing", had.Bytes)
		defer hashing.done()
		var u ocilayout.Usage
		u, damage, err = c.Verify(ctx, hashing.add)
		return u, err
	}
	u, err := o.usage(layers, files)
	if err != nil {
		return err
	}
	shared := 0
	for _, d := range damage {
		if d.Shared {
			shared++
		}
	}
	if o.json {
		if err := printJSON(t.out, struct {
			*cacheUsage
			Removed []ocilayout.Damage `json:"removed"`
		}{u, append([]ocilayout.Damage{}, damage...)}); err != nil {
			return err
		}
	} else {
		for _, d := range damage {
			fmt.Fprintf(t.out, "removed %v\n", d)
		}
		fmt.Fprintf(t.out, "%s:\n", u.Directory)
		if err := u.print(t, false); err != nil {
			return err
		}
	}
	switch n := len(damage); {
	case n == 0:
		return nil
	case shared > 0:
		return inChapter("local-cache", withHint(&foundError{msg: fmt.Sprintf("verify cache %q: %s removed; layouts have the same %s",
			u.Directory, count(n, "damaged file"), count(shared, "blob"))},
			"find the layout with: export-profile verify oci:DIR; then make its image again"))
	default:
		return inChapter("local-cache", &foundError{msg: fmt.Sprintf("verify cache %q: %s removed", u.Directory, count(n, "damaged file"))})
	}
}

// recheckCache adds a hint to an error about the content of a blob if the cache had that blob and it is damaged there, too.
// Then the cache has dropped it, and the next run succeeds.
func (c *cacheFlags) recheckCache(ctx context.Context, err error) error {
	var blob *ocilayout.BlobError
	if errors.As(err, &blob) && c.existing().Recheck(context.WithoutCancel(ctx), blob.Digest) {
		return withHint(err, "this blob was damaged in the cache, which has dropped it: run the command again; export-profile cache verify looks for more")
	}
	return err
}

// existing returns the cache if it exists and no other user can write to it, or nil. It makes none.
func (c *cacheFlags) existing() *ocilayout.Cache {
	dir := c.wantedDir()
	if c.noCache || dir == "" || checkCacheDir(dir, c.namedDir() != "") != nil {
		return nil
	}
	cache, err := ocilayout.FindCache(dir)
	if err != nil {
		return nil
	}
	return cache
}
