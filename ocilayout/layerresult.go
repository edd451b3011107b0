package ocilayout

import (
	"fmt"
	"os"

	"github.com/export-profile/export-profile/ocilayout/compress"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LayerResult says what became of a layer.
type LayerResult struct {
	Name string // of its first object
	How  How
	Size int64 // of its blob
}

// How is where a layer's blob came from.
type How byte

const (
	Built        How = iota // from its parts' trees
	Cached                  // from the cache, as it was
	Recompressed            // from the cache, where it was compressed otherwise
	Reused                  // from another image; see Layer.Reuse
	Fetched                 // from a cache of several machines; see Layer.Shared
)

func (h How) String() string {
	switch h {
	case Built:
		return "built"
	case Cached:
		return "cached"
	case Recompressed:
		return "recompressed"
	case Reused:
		return "reused"
	case Fetched:
		return "fetched"
	}
	return fmt.Sprintf("How(%d)", byte(h))
}

// LayerForecast is what is known of a layer before it is added.
type LayerForecast struct {
	How  How              // what would become of it
	Blob ispec.Descriptor // zero if it would be built or compressed
}

// Forecast says what would become of layers if they were added, and neither uses nor changes anything.
// A nil cache knows only those that are kept.
// What it says of a blob holds unless that is damaged or removed.
func (c *Cache) Forecast(layers []Layer, z compress.Method) []LayerForecast {
	known := make([]LayerForecast, len(layers))
	for i, l := range layers {
		known[i] = c.forecast(l, z)
	}
	return known
}

func (c *Cache) forecast(l Layer, z compress.Method) LayerForecast {
	if l.Reuse != nil {
		return LayerForecast{How: Reused, Blob: l.Reuse.Descriptor}
	}
	built := LayerForecast{How: Built}
	key, err := tarRecordName(l)
	if c == nil || err != nil {
		return built
	}
	var tar tarRecord
	if c.peek(key, &tar) != nil || checkDigest(tar.DiffID) != nil || tar.proves(l) != nil {
		return built
	}
	compressor, err := c.compressor(z)
	var blob blobRecord
	if err == nil && c.peek(blobRecordName(tar.DiffID, z), &blob) == nil && blob.Compressor == compressor && c.has(blob) {
		d := ispec.Descriptor{MediaType: z.MediaType(), Digest: blob.Digest, Size: blob.Size}
		return LayerForecast{How: Cached, Blob: d}
	}
	for _, other := range compress.All() {
		if other != z && c.peek(blobRecordName(tar.DiffID, other), &blob) == nil && c.has(blob) {
			return LayerForecast{How: Recompressed}
		}
	}
	return built
}

// has says whether a blob is there, and looks at its size alone.
func (c *Cache) has(r blobRecord) bool {
	if checkDigest(r.Digest) != nil {
		return false
	}
	fi, err := os.Lstat(c.blob(r.Digest))
	return err == nil && fi.Mode().IsRegular() && fi.Size() == r.Size
}
