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

	"github.com/export-profile/export-profile/rootfs/staging"
)

const (
	// keepUnused is how long an unused record stays: long enough for a monthly build to find it.
	keepUnused = 30 * 24 * time.Hour

	trimEvery = 24 * time.Hour

	// keepOrphans is how long a blob without a record stays:
	// a run may be about to write the record.
	keepOrphans = time.Hour
)

// PruneOptions say what to keep. Runs prune with the zero value once a day.
type PruneOptions struct {
	// OlderThan removes what was unused for this long. The cache knows the last use to the hour.
	// 0 means 30 days.
	OlderThan time.Duration
	// MaxSize bounds the total size of the blobs; the least recently used are removed first.
	// 0 means no limit.
	MaxSize int64
}

// Usage counts the contents of a cache.
type Usage struct {
	Layers int   // tars with a record
	Blobs  int   // blobs, compressed or not
	Bytes  int64 // size of the blobs
	Shared int64 // the part of Bytes that layouts share by hard links, and that removal would not free
	Oldest time.Time
}

// Usage counts what the cache holds.
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

// Prune removes what the options do not keep, and returns how much that was.
// Runs that use the cache at the same time may find less than without it.
func (c *Cache) Prune(ctx context.Context, o PruneOptions) (Usage, error) {
	removed, err := c.prune(ctx, o)
	if err != nil {
		err = fmt.Errorf("prune cache: %w", err)
	}
	return removed, err
}

// trim prunes the cache once a day. It ignores errors.
func (c *Cache) trim(ctx context.Context) {
	mark := filepath.Join(c.dir, "trimmed")
	fi, err := os.Lstat(mark)
	if err == nil && time.Since(fi.ModTime()) < trimEvery {
		return
	}
	if staging.Touch(mark) != nil {
		return
	}
	if err == nil { // a cache that was never trimmed holds nothing old
		_, _ = c.prune(ctx, PruneOptions{})
	}
}

func (c *Cache) prune(ctx context.Context, o PruneOptions) (removed Usage, err error) {
	if err := staging.Clean(c.dir, newName, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

	// Remove records before blobs, so that no record refers to a missing blob.
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

// removeFile removes a file, or a directory in its place.
func removeFile(path string) error {
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

type cacheFile struct {
	path, name    string
	size          int64
	links         uint64
	used, changed time.Time // load sets the modification time of a record when it is used
}

type cacheScan struct{ tars, packed, blobs []cacheFile }

// scan lists all files and opens none.
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
			if errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(e.Name(), ".") {
				continue // removed in the meantime, or not ours
			}
			if err != nil {
				return s, err
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
