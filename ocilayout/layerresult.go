package ocilayout

import (
	"fmt"
	"os"

	"github.com/export-profile/export-profile/ocilayout/compress"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LayerResult says where a layer came from.
type LayerResult struct {
	Name string // of the layer's first object
	How  How
	Size int64 // of the layer's blob
	// Chunked says that the layer has tables of zstd:chunked. With that compression some layers have none, as chunked.Writer.Finish explains.
	Chunked bool
}

// How says where the blob of a layer came from.
type How byte

const (
	Built        How = iota // from the trees of its parts
	Cached                  // from the cache, unchanged
	Recompressed            // from the cache, where it was compressed differently
	Reused                  // from another image; see Layer.Reuse
	Fetched                 // from the shared cache; see Layer.Shared
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

// LayerForecast says where a layer would come from.
type LayerForecast struct {
	How  How
	Blob ispec.Descriptor // zero for a layer that would be built or recompressed
}

// Forecast says where layers would come from if they were added now. It changes nothing in the cache, not even times of last use.
// A nil cache knows only layers with Reuse.
// A forecast holds unless the blob is damaged or removed in the meantime.
func (c *Cache) Forecast(layers []Layer, z compress.Method) []LayerForecast {
	forecasts := make([]LayerForecast, len(layers))
	for i, l := range layers {
		forecasts[i] = c.forecast(l, z)
	}
	return forecasts
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
	if c.peek(key, &tar) != nil || CheckDigest(tar.DiffID) != nil || tar.proves(l) != nil {
		return built
	}
	compressor, err := c.compressor(z)
	var blob blobRecord
	if err == nil && c.peek(blobRecordName(tar.DiffID, z), &blob) == nil && blob.Compressor == compressor && c.has(blob, z) {
		return LayerForecast{How: Cached, Blob: blob.descriptor(z)}
	}
	for _, other := range compress.All() {
		var blob blobRecord
		if other != z && c.peek(blobRecordName(tar.DiffID, other), &blob) == nil && c.has(blob, other) {
			return LayerForecast{How: Recompressed}
		}
	}
	return built
}

// has reports whether a blob that z made exists and has the right size.
func (c *Cache) has(r blobRecord, z compress.Method) bool {
	if r.check(z) != nil {
		return false
	}
	fi, err := os.Lstat(c.blob(r.Digest))
	return err == nil && fi.Mode().IsRegular() && fi.Size() == r.Size
}
