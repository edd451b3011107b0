package main

import (
	"fmt"

	"github.com/export-profile/export-profile/ocilayout"
)

// fetchedChunks says what a holder of an image fetches of another one by chunks. Both fields are empty
// if no layer that it lacks is zstd:chunked.
type fetchedChunks struct {
	Chunks        *chunkFetch `json:"chunks,omitempty"`
	ChunksUnknown string      `json:"chunksUnknown,omitempty"` // why there is no Chunks
}

type chunkFetch struct {
	Fetch    int64 `json:"fetchBytes"`   // the sum of the following
	Contents int64 `json:"contentBytes"` // of files
	Tables   int64 `json:"tableBytes"`   // of layers that it lacks
	Whole    int64 `json:"wholeBytes"`   // other blobs that it lacks
	Ranges   int   `json:"ranges"`       // of contents
}

// set takes the result of FetchChunks. An error is the reason for which the numbers are unknown.
func (c *fetchedChunks) set(f *ocilayout.FetchedChunks, err error) {
	switch {
	case err != nil:
		c.ChunksUnknown = err.Error()
	case f != nil:
		c.Chunks = &chunkFetch{f.Bytes, f.Contents, f.Tables, f.Whole, f.Ranges}
	}
}

// words returns a line that continues one about the holder of the image, or nothing. More follows the numbers.
func (c *fetchedChunks) words(more ...string) string {
	switch {
	case c.ChunksUnknown != "":
		return fmt.Sprintf("by chunks: what it fetches is unknown: %s\n", c.ChunksUnknown)
	case c.Chunks == nil:
		return ""
	}
	line := "by chunks: it fetches " + c.Chunks.String()
	for _, m := range more {
		line += "; " + m
	}
	return line + "\n"
}

// rows says what is fetched: by layers, and by chunks if that is known.
func (c *fetchedChunks) rows(byLayers int64) []sizeRow {
	rows := []sizeRow{{"fetched by layers", []share{{newGlyph, byLayers}}}}
	if c.Chunks != nil {
		rows = append(rows, sizeRow{"fetched by chunks", []share{{newGlyph, c.Chunks.Fetch}}})
	}
	return rows
}

func (c *chunkFetch) String() string {
	return fmt.Sprintf("%s: %s of files in %s, %s of tables and %s of whole blobs",
		humanBytes(c.Fetch), humanBytes(c.Contents), count(c.Ranges, "range"), humanBytes(c.Tables), humanBytes(c.Whole))
}
