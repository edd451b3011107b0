package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// difference is the JSON result.
type difference struct {
	A        comparedSide     `json:"a"`
	B        comparedSide     `json:"b"`
	Packages []packageChange  `json:"packages"` // changed packages, by name
	Added    []profile.Path   `json:"addedPaths"`
	Removed  []profile.Path   `json:"removedPaths"`
	Changed  []profile.Path   `json:"changedPaths"`     // same path, other contents
	Layers   *layerDifference `json:"layers,omitempty"` // if both are images
	Exceeded []string         `json:"exceeded"`         // limits that B breaks

	shared int64 // bytes of store paths that A has with the same contents
}

type comparedSide struct {
	Name    string `json:"name"`
	Digest  string `json:"digest,omitempty"`
	Paths   int    `json:"paths"`
	NarSize int64  `json:"narSize"`
	Size    int64  `json:"blobBytes,omitempty"` // of all blobs of an image
	Layers  int    `json:"layers,omitempty"`
}

type packageChange struct {
	Name    string   `json:"name"`
	Removed []string `json:"removedVersions"`
	Added   []string `json:"addedVersions"`
	Before  int64    `json:"bytesBefore"`
	After   int64    `json:"bytesAfter"`
}

type layerDifference struct {
	Shared  int   `json:"shared"` // layers of B that A also has
	Added   int   `json:"added"`
	Removed int   `json:"removed"`
	Fetch   int64 `json:"fetchBytes"` // blobs of B that A lacks
	Had     int64 `json:"hadBytes"`

	fetchedChunks
}

func compareSides(a, b *side) *difference {
	d := &difference{
		A: a.compared(), B: b.compared(),
		Packages: []packageChange{}, Added: []profile.Path{}, Removed: []profile.Path{}, Changed: []profile.Path{}, Exceeded: []string{},
	}
	for _, p := range profile.Diff(a.infos, b.infos) {
		d.Packages = append(d.Packages, packageChange{p.Name, append([]string{}, p.Removed...), append([]string{}, p.Added...), p.Before, p.After})
	}
	was, is := a.identities(), b.identities()
	for _, info := range b.infos {
		switch hash, ok := was[info.Path]; {
		case !ok:
			d.Added = append(d.Added, info.Path)
		case hash != "" && is[info.Path] != "" && hash != is[info.Path]:
			d.Changed = append(d.Changed, info.Path)
		default:
			d.shared += info.NarSize
		}
	}
	for _, info := range a.infos {
		if _, ok := is[info.Path]; !ok {
			d.Removed = append(d.Removed, info.Path)
		}
	}
	if a.image == nil || b.image == nil {
		return d
	}
	l := &layerDifference{}
	before, after := a.image.Blobs(), b.image.Blobs()
	for _, layer := range b.image.Layers {
		if _, ok := before[layer.Descriptor.Digest]; ok {
			l.Shared++
		} else {
			l.Added++
		}
	}
	for _, layer := range a.image.Layers {
		if _, ok := after[layer.Descriptor.Digest]; !ok {
			l.Removed++
		}
	}
	l.Fetch, l.Had = a.image.Fetch(b.image)
	d.Layers = l
	return d
}

func (s *side) compared() comparedSide {
	c := comparedSide{Name: s.word, Paths: len(s.infos), NarSize: s.narSize()}
	if s.image != nil {
		c.Digest, c.Layers = s.image.Digest.String(), len(s.image.Layers)
		for _, size := range s.image.Blobs() {
			c.Size += size
		}
	}
	return c
}

// print prints one line a package, as Nix does, and the sums. If columns is not 0, bars show the sizes.
func (d *difference) print(w io.Writer, columns int) error {
	var b strings.Builder
	scale := d.growthScale(columns)
	for _, p := range d.Packages {
		var items []string
		if len(p.Removed)+len(p.Added) > 0 {
			items = append(items, profile.ShowVersions(p.Removed)+" → "+profile.ShowVersions(p.Added))
		}
		if delta := p.After - p.Before; math.Abs(float64(delta)) >= 8<<10 {
			items = append(items, fmt.Sprintf("%+.1f KiB", float64(delta)/1024))
		}
		fmt.Fprintf(&b, "%s%s: %s\n", p.bar(scale), p.Name, strings.Join(items, ", "))
	}
	fmt.Fprintf(&b, "store paths: %d, were %d: %d added, %d removed", d.B.Paths, d.A.Paths, len(d.Added), len(d.Removed))
	if len(d.Changed) > 0 {
		fmt.Fprintf(&b, ", %d with other contents, as %s", len(d.Changed), slices.MinFunc(d.Changed, cmp.Compare[profile.Path]))
	}
	fmt.Fprintf(&b, "; %s, %s\n", humanBytes(d.B.NarSize), growth(d.B.NarSize-d.A.NarSize))
	if l := d.Layers; l != nil {
		fmt.Fprintf(&b, "blobs: %s, %s; %d of %d layers are shared: a holder of the first image fetches %s and has %s\n",
			humanBytes(d.B.Size), growth(d.B.Size-d.A.Size), l.Shared, d.B.Layers, humanBytes(l.Fetch), humanBytes(l.Had))
		b.WriteString(l.words())
	}
	b.WriteString(d.bars(columns))
	_, err := io.WriteString(w, b.String())
	return err
}

// growth formats a change in bytes.
func growth(n int64) string {
	switch {
	case n < 0:
		return humanBytes(-n) + " less"
	case n > 0:
		return humanBytes(n) + " more"
	}
	return "unchanged"
}
