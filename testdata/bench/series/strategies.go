package main

import (
	"context"
	"fmt"

	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// Limits of layers, as the programs have them.
const (
	dockerToolsLimit   = 100 - 1 // maxLayers, with one layer of links
	nix2containerLimit = 100     // maxLayers, without the layer of copyToRoot
	nixeryLimit        = 94      // without the layer of links
	perPathLimit       = 125 - 1 // Docker mounts 125; without the layer of links
	unlimited          = 1 << 20
)

// planner plans a release of one image, given the layers of its last release.
type planner func(m image, previous []layer) (layers []layer, unused, size int64, err error)

// strategy is a way to make layers, and to pull them.
type strategy struct {
	name   string
	plan   planner
	chunks bool // nodes pull chunks
	ours   bool
	// bound marks what no runtime accepts.
	bound bool
}

func strategies(popularity map[string]int) []strategy {
	return []strategy{
		{name: "export-profile, zstd:chunked, `--previous`", plan: sticky, chunks: true, ours: true},
		{name: "export-profile, zstd:chunked", plan: auto, chunks: true, ours: true},
		{name: "export-profile `--previous`", plan: sticky, ours: true},
		{name: "export-profile", plan: auto, ours: true},
		{name: "dockerTools today, size first", plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return sizeFirst(parts, dockerToolsLimit)
		})},
		{name: "dockerTools before 2025, popularity", plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return popularityContest(parts, dockerToolsLimit)
		})},
		{name: "nix2container, `maxLayers = 100`", plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return pathCount(parts, nix2containerLimit)
		})},
		{name: "Nixery", plan: peer(func(parts []rootfs.Part, roots []string) [][]rootfs.Part {
			return dominated(parts, roots, popularity, nixeryLimit)
		})},
		{name: "one layer, and one of links", plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return [][]rootfs.Part{parts}
		})},
		{name: fmt.Sprintf("the %d largest paths a layer each, the rest one", perPathLimit-1), plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return largestEach(parts, perPathLimit)
		})},
		{name: "one layer a path, refused by runtimes", bound: true, plan: peer(func(parts []rootfs.Part, _ []string) [][]rootfs.Part {
			return largestEach(parts, unlimited)
		})},
	}
}

// auto plans as export-profile does by default.
func auto(m image, _ []layer) (layers []layer, _, _ int64, _ error) {
	groups, err := plan.New(m.parts(), plan.Options{})
	for _, g := range groups {
		layers = append(layers, newLayer(g.Parts, nil))
	}
	return layers, 0, 0, err
}

// sticky plans as export-profile --previous does.
func sticky(m image, previous []layer) (layers []layer, unused, size int64, _ error) {
	var had []plan.Candidate
	for _, l := range previous {
		had = append(had, plan.Candidate{Claim: l.claim, Size: l.blob.Size})
	}
	groups, summary, err := plan.Sticky(m.parts(), had, plan.StickyOptions{MaxWaste: plan.DefaultMaxWaste})
	for _, g := range groups {
		if g.Reuse > 0 {
			layers = append(layers, previous[g.Reuse-1])
		} else {
			layers = append(layers, newLayer(g.Parts, g.Hidden))
		}
	}
	return layers, summary.Unused, summary.Size, err
}

// peer plans store objects by groups, and puts the links and the base files into a layer above, as all peers do.
func peer(groups func(parts []rootfs.Part, roots []string) [][]rootfs.Part) planner {
	return func(m image, _ []layer) (layers []layer, _, _ int64, _ error) {
		for _, parts := range groups(m.store, m.roots) {
			layers = append(layers, newLayer(parts, nil))
		}
		return append(layers, newLayer(m.top, nil)), 0, 0, nil
	}
}

// run makes all releases of a year by a strategy.
func (s strategy) run(ctx context.Context, y year, b *builder) (t totals, err error) {
	var releases []release
	last := make([][]layer, len(y.weeks[0]))
	for week, images := range y.weeks {
		var all release
		var unused, size int64
		t.EndLayer = 0
		for i, m := range images {
			layers, waste, used, err := s.plan(m, last[i])
			if err != nil {
				return t, fmt.Errorf("%s, week %d: %w", s.name, week, err)
			}
			for n := range layers {
				if err := b.build(ctx, &layers[n]); err != nil {
					return t, fmt.Errorf("%s, week %d: %w", s.name, week, err)
				}
			}
			last[i] = layers
			all = append(all, layers...)
			unused, size = unused+waste, size+used+waste
			t.EndLayer = max(t.EndLayer, len(layers))
		}
		t.MaxLayer = max(t.MaxLayer, t.EndLayer)
		if size > 0 {
			t.Unused = float64(unused) / float64(size)
		}
		t.MaxUnused = max(t.MaxUnused, t.Unused)
		releases = append(releases, all)
	}
	if s.chunks {
		return t, t.account(releases, b.byChunks)
	}
	return t, t.account(releases, wholeLayers)
}
