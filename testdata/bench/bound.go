package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

// This file measures the bound of a machine: how fast it hashes and compresses the layers of an image that are in memory,
// without reading or writing a file. The blobs are those of the image, made by the same compressor.

// workers lists how many processors the image and its bound get. If the machine has fewer, threads take turns.
var workers = []int{1, 2, 4}

// withWorkers returns a command that runs another one on a number of processors.
func withWorkers(n int, args []string) []string {
	prefix := []string{"env", fmt.Sprint("GOMAXPROCS=", n)}
	if n < cores() {
		prefix = append(prefix, "taskset", "-c", fmt.Sprint("0-", n-1))
	}
	return append(prefix, args...)
}

// coldWorkers is cold on a number of processors.
func (l *lab) coldWorkers(compression string, n int) (sample, error) {
	args := l.image(l.base.profile, l.path("out"), "--compression", compression, "--cache", l.path("cache"))
	s, err := l.run(withWorkers(n, args)...)
	return withSize(s, err, l.path("out/blobs"))
}

// bound measures the child that hashes and compresses from memory. The child's sample has only the time of that.
func (l *lab) bound(compression string, n int) (s sample, err error) {
	layout := l.path("plain-layout")
	err = l.prepared("an image without compression", func() error {
		_, err := l.output(l.image(l.base.profile, layout, "--compression", "none", "--no-cache")...)
		return err
	})
	if err != nil {
		return s, err
	}
	out, err := l.output(withWorkers(n, []string{self(), "-child", "bound", compression, layout})...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

// compressFromMemory reads the tars of a layout's only image into memory, and then measures hashing and compressing them.
// It takes the largest layer first, and as many at a time as there are processors, as the image does.
func compressFromMemory(ctx context.Context, w io.Writer, compression, layout string) error {
	m, err := compress.Parse(compression)
	if err != nil {
		return err
	}
	tars, err := readLayers(layout)
	if err != nil {
		return err
	}
	slices.SortFunc(tars, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	runtime.GC()
	cpu, err := usedCPU()
	if err != nil {
		return err
	}
	start := time.Now()
	n := runtime.GOMAXPROCS(0)
	pool := compress.NewPool(m, n)
	sizes := make([]int64, len(tars))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(n)
	for i, tar := range tars {
		group.Go(func() error {
			b, err := pool.Pack(ctx, io.Discard, func(_ context.Context, w *compress.Stream) error {
				for rest := tar; len(rest) > 0; {
					// Hash what a window holds while it is in the processor's cache, as for files.
					window := w.Window()
					n := min(cap(window), len(rest))
					if _, err := w.Write(append(window, rest[:n]...)); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})
			sizes[i] = b.Size
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s := sample{Wall: time.Since(start).Seconds()}
	after, err := usedCPU()
	s.CPU = after - cpu
	for _, n := range sizes {
		s.Size += n
	}
	return errors.Join(err, json.NewEncoder(w).Encode(s))
}

// readLayers reads the layers of a layout's only image, which must not be compressed.
func readLayers(layout string) ([][]byte, error) {
	var index ispec.Index
	if err := readJSON(filepath.Join(layout, ispec.ImageIndexFile), &index); err != nil {
		return nil, err
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("%q has %d images; want 1", layout, len(index.Manifests))
	}
	blob := func(d ispec.Descriptor) string {
		return filepath.Join(layout, ispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
	}
	var manifest ispec.Manifest
	if err := readJSON(blob(index.Manifests[0]), &manifest); err != nil {
		return nil, err
	}
	tars := make([][]byte, len(manifest.Layers))
	for i, d := range manifest.Layers {
		if d.MediaType != ispec.MediaTypeImageLayer {
			return nil, fmt.Errorf("layer %s is %s; want a tar", d.Digest, d.MediaType)
		}
		var err error
		if tars[i], err = os.ReadFile(blob(d)); err != nil {
			return nil, err
		}
	}
	return tars, nil
}

func readJSON(file string, to any) error {
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	return err
}

// usedCPU returns the CPU seconds that this process has used.
func usedCPU() (float64, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, err
}
