package ocilayout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/export-profile/export-profile/rootfs"
)

const (
	// keepUnused is how long a record stays that nobody uses. Who builds an image each month finds it there.
	keepUnused = 30 * 24 * time.Hour

	trimEvery = 24 * time.Hour

	// keepOrphans is how long a blob stays that no record leads to:
	// as long as a living run could be about to write the record.
	keepOrphans = time.Hour
)

// PruneOptions say what stays in a cache. The zero value is what runs do by themselves, once a day.
type PruneOptions struct {
	// OlderThan removes what was not used for so long. When something was used is known to the hour.
	// 0 means 30 days.
	OlderThan time.Duration
	// MaxSize removes blobs, those not used for the longest time first, until they have at most so many bytes together.
	// 0 means that there is no limit.
	MaxSize int64
}

// Usage is what there is in a cache.
type Usage struct {
	Layers int   // tars that are known
	Blobs  int   // what they are when compressed, or not
	Bytes  int64 // of the blobs
	Shared int64 // bytes of these that are shared with layouts by hard links, and would not become free
	Oldest time.Time
}

// Usage looks at what there is.
func (c *Cache) Usage() (Usage, error) {
	s, err := c.scan(context.Background())
	if err != nil {
		return Usage{}, fmt.Errorf("look at cache: %w", err)
	}
	u := Usage{Layers: len(s.tars), Blobs: len(s.blobs)}
	for _, b := range s.blobs {
		u.Bytes += b.size
		if b.links > 1 {
			u.Shared += b.size
		}
	}
	for _, f := range slices.Concat(s.tars, s.packed) {
		if u.Oldest.IsZero() || f.used.Before(u.Oldest) {
			u.Oldest = f.used
		}
	}
	return u, nil
}

// Prune removes what is not worth keeping, and says what that was.
// Runs that use the cache at the same time may find less than they could.
func (c *Cache) Prune(ctx context.Context, o PruneOptions) (Usage, error) {
	removed, err := c.prune(ctx, o)
	if err != nil {
		err = fmt.Errorf("prune cache: %w", err)
	}
	return removed, err
}

// trim prunes a cache once a day, if it can.
func (c *Cache) trim(ctx context.Context) {
	mark := filepath.Join(c.dir, "trimmed")
	fi, err := os.Lstat(mark)
	if err == nil && time.Since(fi.ModTime()) < trimEvery {
		return
	}
	if os.WriteFile(mark, nil, 0o644) != nil || os.Chtimes(mark, time.Time{}, time.Now()) != nil {
		return
	}
	if err == nil { // there is nothing old in a cache that was never trimmed
		_, _ = c.prune(ctx, PruneOptions{})
	}
}

func (c *Cache) prune(ctx context.Context, o PruneOptions) (removed Usage, err error) {
	if err := rootfs.CleanStaging(c.dir, newName, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return removed, err
	}
	s, err := c.scan(ctx)
	if err != nil {
		return removed, err
	}
	oldest := time.Now().Add(-cmp.Or(o.OlderThan, keepUnused))
	for _, f := range s.tars {
		if f.used.Before(oldest) {
			if err := removeFile(f.path); err != nil {
				return removed, err
			}
			removed.Layers++
		}
	}

	// Records go before blobs, so that none leads nowhere.
	slices.SortFunc(s.packed, func(a, b cacheFile) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.path, b.path))
	})
	kept, gone := make(map[string]bool), make(map[string]bool)
	total := int64(0)
	for _, f := range s.packed {
		name := filepath.Join(packedName, filepath.Base(f.path))
		var r blobRecord
		stays := !f.used.Before(oldest) && c.peek(name, &r) == nil
		if stays && !kept[r.Digest.Encoded()] && o.MaxSize > 0 && total+r.Size > o.MaxSize {
			stays = false
		}
		if stays {
			if hex := r.Digest.Encoded(); !kept[hex] {
				kept[hex] = true
				total += r.Size
			}
			continue
		}
		if r.Digest == "" {
			_ = c.peek(name, &r)
		}
		if r.Digest != "" {
			gone[r.Digest.Encoded()] = true
		}
		if err := removeFile(f.path); err != nil {
			return removed, err
		}
	}
	for _, b := range s.blobs {
		if kept[b.name] || !gone[b.name] && time.Since(b.changed) < keepOrphans {
			continue
		}
		if err := removeFile(b.path); err != nil {
			return removed, err
		}
		removed.Blobs++
		removed.Bytes += b.size
		if b.links > 1 {
			removed.Shared += b.size
		}
	}
	return removed, nil
}

// removeFile removes what is in a file's place, whatever it is.
func removeFile(path string) error {
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// cacheFile is a file of the cache.
type cacheFile struct {
	path, name    string
	size          int64
	links         uint64
	used, changed time.Time
}

type cacheScan struct{ tars, packed, blobs []cacheFile }

// scan looks at all files, and reads none.
func (c *Cache) scan(ctx context.Context) (s cacheScan, err error) {
	for name, files := range map[string]*[]cacheFile{partsName: &s.tars, packedName: &s.packed, blobsName: &s.blobs} {
		entries, err := os.ReadDir(filepath.Join(c.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		for _, e := range entries {
			if err := context.Cause(ctx); err != nil {
				return s, err
			}
			fi, err := e.Info()
			if err != nil || strings.HasPrefix(e.Name(), ".") {
				continue // it has gone meanwhile, or was never ours
			}
			st := fi.Sys().(*syscall.Stat_t)
			*files = append(*files, cacheFile{
				path: filepath.Join(c.dir, name, e.Name()), name: e.Name(),
				size: fi.Size(), links: uint64(st.Nlink),
				used: fi.ModTime(), changed: time.Unix(st.Ctim.Unix()),
			})
		}
	}
	return s, nil
}
