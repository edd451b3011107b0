package main

import (
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// changes compares an image with the previous one, from the view of a machine that has the previous one.
type changes struct {
	Digest  string `json:"digest"`
	Kept    int    `json:"keptLayers"`
	Rebuilt int    `json:"rebuiltLayers"`
	Dropped int    `json:"droppedLayers"`
	Added   int    `json:"newLayers"`
	Fetch   int64  `json:"fetchBytes"`
	Had     int64  `json:"hadBytes"`
	Unused  int64  `json:"deadBytes"`
	Size    int64  `json:"visibleBytes"`
}

// compare compares the written image with the previous one.
func (p planned) compare(say *speaker, next *ocilayout.PreviousImage) *changes {
	if p.previous == nil {
		return nil
	}
	c := p.changes(p.previous.Fetch(next))
	say.notef("%s", c.words(humanBytes(c.Fetch)))
	return c
}

// changes returns the changes from the previous image, which must not be nil.
func (p planned) changes(fetch, had int64) *changes {
	return &changes{
		Digest: p.previous.Digest.String(),
		Kept:   p.report.Kept, Rebuilt: p.report.Rebuilt, Dropped: p.report.Dropped, Added: p.report.Added,
		Fetch: fetch, Had: had, Unused: p.report.Unused, Size: p.report.Size,
	}
}

// words returns the changes in one line, with an estimate in fetched before the layers are built.
func (c *changes) words(fetched string) string {
	return fmt.Sprintf("layers: %d kept, %d rebuilt, %d dropped, %d new; a holder of the previous image fetches %s and has %s; %s of %s are no longer used",
		c.Kept, c.Rebuilt, c.Dropped, c.Added, fetched, humanBytes(c.Had), humanBytes(c.Unused), humanBytes(c.Size+c.Unused))
}

// has says whether there is a previous image with this blob.
func (p planned) has(d ispec.Descriptor) bool { return p.previous != nil && p.previous.Has(d.Digest) }
