package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// planResult is the result of the command.
type planResult struct {
	Layers     []plannedLayer `json:"layers"`
	Size       int64          `json:"size"`            // visible bytes, uncompressed
	Build      int64          `json:"buildBytes"`      // not in a cache or the previous image, uncompressed
	Repack     int64          `json:"recompressBytes"` // in the cache with another compression, uncompressed
	Cached     int64          `json:"cachedBlobBytes"`
	Fetched    int64          `json:"fetchedBlobBytes"` // in the shared cache
	Reused     int64          `json:"reusedBlobBytes"`  // in the previous image
	NewLayers  int            `json:"newLayers"`
	Repository string         `json:"repository,omitempty"` // the destination, if it is in a registry
	Send       int64          `json:"sendBytes"`            // known blobs that the destination, or a holder of the previous image, lacks
	Had        int64          `json:"hadBytes"`             // known blobs that it has
	Unknown    int            `json:"unknownLayers"`        // layers to send whose size is unknown before they are built
	Previous   *imageUpdate   `json:"previous,omitempty"`   // as in the result of image; fetchBytes counts known blobs
}

type plannedLayer struct {
	How    string   `json:"how"` // built, recompressed, cached, fetched or reused
	Size   int64    `json:"size"`
	Blob   string   `json:"blob,omitempty"`
	Bytes  int64    `json:"blobBytes,omitempty"`
	Parts  []string `json:"parts"` // names of store objects, or base
	Hidden []string `json:"hidden,omitempty"`

	known ispec.Descriptor // the blob; without a digest if it is unknown
}

func newPlanResult(layers []ocilayout.Layer, known []ocilayout.LayerForecast) planResult {
	p := planResult{Layers: []plannedLayer{}}
	for i, l := range layers {
		k := known[i]
		if k.How == ocilayout.Built && l.Shared != nil {
			k.How, k.Blob = ocilayout.Fetched, l.Shared.Descriptor
		}
		row := plannedLayer{How: k.How.String(), Size: l.Size(), Bytes: k.Blob.Size, Blob: k.Blob.Digest.String(), Hidden: l.Hidden, Parts: partNames(l.Parts), known: k.Blob}
		switch p.Size += row.Size; k.How {
		case ocilayout.Built:
			p.Build += row.Size
		case ocilayout.Recompressed:
			p.Repack += row.Size
		case ocilayout.Cached:
			p.Cached += row.Bytes
		case ocilayout.Fetched:
			p.Fetched += row.Bytes
		case ocilayout.Reused:
			p.Reused += row.Bytes
		}
		if k.How != ocilayout.Reused {
			p.NewLayers++
		}
		if row.Blob == "" {
			p.Unknown++
		}
		p.Layers = append(p.Layers, row)
	}
	return p
}

// blobs returns the known blobs.
func (p planResult) blobs() (all []ispec.Descriptor) {
	for _, l := range p.Layers {
		if l.Blob != "" {
			all = append(all, l.known)
		}
	}
	return all
}

// transfer sums the sizes of known blobs and the base image's blobs, by whether they are there.
func (p planResult) transfer(base []ispec.Descriptor, there func(ispec.Descriptor) bool) (send, had int64) {
	seen := make(map[string]bool)
	for _, d := range append(p.blobs(), base...) {
		switch {
		case seen[string(d.Digest)]:
		case there(d):
			had += d.Size
		default:
			send += d.Size
		}
		seen[string(d.Digest)] = true
	}
	return send, had
}

func partNames(parts []rootfs.Part) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Name
	}
	return names
}

// print prints a line for each layer, and the sums. If columns is not 0, the lines have bars and end there.
func (p planResult) print(w io.Writer, columns int) error {
	var b strings.Builder
	p.printLayers(&b, columns)
	fmt.Fprintf(&b, "%s, %s: %s to build, %s to compress again\n", count(len(p.Layers), "layer"), nixSize(p.Size),
		nixSize(p.Build), nixSize(p.Repack))
	switch {
	case p.Repository != "":
		fmt.Fprintf(&b, "to send to %s: %s; it has %s\n", p.Repository, p.withUnknown(p.Send), humanBytes(p.Had))
	case p.Previous == nil:
		fmt.Fprintf(&b, "to send to an empty registry: %s\n", p.withUnknown(p.Send))
	}
	if p.Previous != nil {
		fmt.Fprintf(&b, "%s\n", p.Previous.words(p.withUnknown(p.Previous.Fetch)))
		var more []string
		if p.Unknown > 0 {
			more = append(more, "and "+p.withUnknown(0))
		}
		b.WriteString(p.Previous.fetchedChunks.words(more...))
		if p.Unknown == 0 {
			b.WriteString(p.Previous.bars(columns))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p planResult) printLayers(b *strings.Builder, columns int) {
	scale := barScale{width: min(columns/4, 30)}
	for _, l := range p.Layers {
		scale.most = max(scale.most, l.Size)
	}
	for i, l := range p.Layers {
		start := fmt.Sprintf("%3d  %-12s %10s  ", i+1, l.How, nixSize(l.Size))
		if columns == 0 {
			fmt.Fprintf(b, "%s%s\n", start, firstNames(l.Parts))
			continue
		}
		start += scale.bar(share{l.glyph(), l.Size}) + "  "
		fmt.Fprintf(b, "%s%s\n", start, cutText(firstNames(l.Parts), columns-utf8.RuneCountInString(start)))
	}
}

// glyph returns what the layer's bar consists of: the darker, the less is to be done.
func (l plannedLayer) glyph() rune {
	switch l.How {
	case ocilayout.Reused.String():
		return thereGlyph
	case ocilayout.Cached.String(), ocilayout.Fetched.String():
		return nearGlyph
	case ocilayout.Recompressed.String():
		return formerGlyph
	}
	return newGlyph
}

// bars draws what a holder of the previous image has and fetches. Without columns it draws nothing.
func (c *imageUpdate) bars(columns int) string {
	if columns == 0 {
		return ""
	}
	whole := sizeRow{"the image", []share{{thereGlyph, c.Had}, {newGlyph, c.Fetch}}}
	return drawRows(append([]sizeRow{whole}, c.rows(c.Fetch)...), columns)
}

// withUnknown formats a number of bytes, and the number of layers whose size is unknown.
func (p planResult) withUnknown(n int64) string {
	if p.Unknown == 0 {
		return humanBytes(n)
	}
	what := fmt.Sprintf("%s of unknown size until built (of %s)", count(p.Unknown, "layer"), nixSize(p.Build+p.Repack))
	if n == 0 {
		return what
	}
	return humanBytes(n) + " and " + what
}

// firstNames returns the first names without their hashes, and the number of the others.
func firstNames(parts []string) string {
	const most = 4
	var words []string
	for i, p := range parts {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(parts)-most))
			break
		}
		if len(p) > 33 && p[32] == '-' {
			p = p[33:]
		}
		words = append(words, p)
	}
	return strings.Join(words, " ")
}
