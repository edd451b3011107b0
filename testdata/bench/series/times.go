package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

// buildTime is how long the product takes to build all releases of a year.
type buildTime struct {
	Clock, CPU time.Duration
	Built      int64 // bytes of the blobs that it built
}

// time builds all releases of a year one after the other, with an empty cache of layers at first, into layouts in a directory.
// The store is in memory: making the contents of a revision takes the place of reading it.
func (s strategy) time(ctx context.Context, y year, dir string) (t buildTime, err error) {
	method, err := compress.Parse("zstd:chunked")
	if err != nil {
		return t, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return t, err
	}
	dir, err = os.MkdirTemp(dir, "times-")
	if err != nil {
		return t, err
	}
	defer os.RemoveAll(dir)
	cache, err := ocilayout.OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		return t, err
	}
	var built int64
	last := make([][]layer, len(y.weeks[0]))
	start, before := time.Now(), cpuTime()
	for week, images := range y.weeks {
		for i, m := range images {
			if last[i], _, _, err = s.plan(m, last[i]); err != nil {
				return t, fmt.Errorf("%s, week %d: %w", s.name, week, err)
			}
			for some := range slices.Chunk(last[i], plan.MaxLayers) { // the product refuses more in one image
				n, err := buildImage(ctx, some, dir, cache, method)
				if err != nil {
					return t, fmt.Errorf("%s, week %d: %w", s.name, week, err)
				}
				built += n
			}
		}
	}
	return buildTime{time.Since(start), cpuTime() - before, built}, nil
}

// buildImage builds an image into a layout that is then removed. Its blobs remain in the cache.
// It returns the bytes of those that the cache did not have.
func buildImage(ctx context.Context, layers []layer, dir string, cache *ocilayout.Cache, method compress.Method) (built int64, err error) {
	spec := ocilayout.ImageSpec{Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}, Compression: method}
	for _, l := range layers {
		spec.Layers = append(spec.Layers, ocilayout.Layer{Parts: l.parts, Hidden: l.hidden})
	}
	layout, err := ocilayout.OpenStaged(filepath.Join(dir, "staging"), ocilayout.Options{Cache: cache})
	if err != nil {
		return 0, err
	}
	_, err = layout.AddImage(ctx, spec)
	for _, r := range layout.Results() {
		if r.How == ocilayout.Built {
			built += r.Size
		}
	}
	return built, errors.Join(err, layout.Close())
}

// cpuTime returns the CPU time of this process.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // it cannot fail for this process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
