// Command series measures what a year of releases costs: a release a week, of one image and of ten that share packages,
// divided into layers by export-profile and as other programs would divide them.
//
//	python3 testdata/e2e/debstore.py DIR/profile DIR git python3 curl ...
//	go run ./testdata/bench/series -profile DIR/profile
//
// It reads the closure of a real profile from the store of this machine, and never runs Nix: a package that changes gives itself and
// all that need it new digests, in every file that names them; see revision.go for what changes besides. A year follows from -seed alone.
//
// All layers are built by the same code, as zstd:chunked, so that only the plans differ. Each store object is built once,
// and layers of several are composed of the results, which gives the same bytes; see compose.go. Manifests and configs are not counted.
// What was built is kept in -dir. The tables go to the standard output, and a chart to -svg.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.profile, "profile", "", "take the closure of the profile `LINK`")
	flag.StringVar(&o.dir, "dir", "/var/tmp/export-profile-series", "keep the sizes of built layers in `DIR`")
	flag.IntVar(&o.weeks, "weeks", 52, "make `N` releases")
	flag.Uint64Var(&o.seed, "seed", 17, "let the year follow from `N`")
	flag.StringVar(&o.only, "run", "", "run only strategies whose name matches `REGEXP`")
	flag.StringVar(&o.images, "images", "1,10", "make series of `N,...` images")
	flag.StringVar(&o.svg, "svg", "", "write a chart to `FILE`")
	flag.BoolVar(&o.times, "times", false, "also build all releases, with a cache of layers, and say how long that takes")
	flag.StringVar(&o.nix2container, "nix2container", "", "instead, compare the first plan with that of the program `FILE`")
	flag.BoolVar(&o.changes, "changes", false, "instead, print what changes in each week")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "series: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	profile, dir, only, images, svg, nix2container string
	weeks                                          int
	seed                                           uint64
	changes, times                                 bool
}

func run(ctx context.Context, o options) error {
	start := time.Now()
	logf := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "series: %4.0f s: %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	counts, err := parseCounts(o.images)
	if err != nil {
		return err
	}
	u, err := readUniverse(ctx, o.profile)
	if err != nil {
		return err
	}
	var size int64
	for _, p := range u.packages {
		size += p.narSize
	}
	logf("the closure has %d store paths, %d MB", len(u.packages), size/1e6)
	if o.nix2container != "" {
		return compareNix2container(ctx, o.nix2container, newYear(u, 1, 1, o.seed).weeks[0][0])
	}
	popularity, err := readPopularity(ctx, u)
	if err != nil {
		return err
	}
	b, err := newBuilder(filepath.Clean(o.dir))
	if err != nil {
		return err
	}
	var all []result
	for _, count := range counts {
		y := newYear(u, o.weeks, count, o.seed)
		if o.changes {
			fmt.Print(y.text())
			continue
		}
		r := result{images: count}
		for _, s := range strategies(popularity) {
			if !pattern.MatchString(s.name) {
				continue
			}
			built, composed := b.built, b.composed
			t, err := s.run(ctx, y, b)
			if err != nil {
				return err
			}
			logf("%d images, %s: built %d layers and composed %d; %.1f MB a year", count, s.name, b.built-built, b.composed-composed, float64(t.EachWeek)/1e6)
			if o.times {
				if t.Took, err = s.time(ctx, y, b.dir); err != nil {
					return err
				}
				if t.Took.Built != t.Registry {
					return fmt.Errorf("%s: all releases together build %d bytes; want %d, those of all different layers", s.name, t.Took.Built, t.Registry)
				}
				logf("%d images, %s: all releases take %.1f s, and %.1f s of CPU time", count, s.name, t.Took.Clock.Seconds(), t.Took.CPU.Seconds())
			}
			r.rows = append(r.rows, row{s, t})
		}
		all = append(all, r)
	}
	for _, r := range all {
		fmt.Println(r.table())
	}
	if o.svg == "" || o.changes {
		return nil
	}
	return os.WriteFile(o.svg, []byte(chart(all)), 0o644)
}
