package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocidigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// plainLayout writes a layout of one image with the given layers.
func plainLayout(t *testing.T, mediaType string, layers ...string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(content []byte, mediaType string) ispec.Descriptor {
		d := ispec.Descriptor{MediaType: mediaType, Digest: ocidigest.FromBytes(content), Size: int64(len(content))}
		file := filepath.Join(dir, "blobs/sha256", d.Digest.Encoded())
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return d
	}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	manifest := ispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, put([]byte(l), mediaType))
	}
	index := ispec.Index{Manifests: []ispec.Descriptor{put(asJSON(manifest), ispec.MediaTypeImageManifest)}}
	if err := os.WriteFile(filepath.Join(dir, ispec.ImageIndexFile), asJSON(index), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCompressFromMemory checks that all layers are compressed, and that only tars are accepted.
func TestCompressFromMemory(t *testing.T) {
	small, large := strings.Repeat("small", 100), strings.Repeat("0123456789abcdef", 1<<19)
	for _, test := range []struct {
		compression string
		least, most int64
	}{
		{"none", int64(len(small) + len(large)), int64(len(small) + len(large))},
		{"gzip", 1000, 200_000},
		{"zstd", 100, 200_000},
	} {
		var out bytes.Buffer
		if err := compressFromMemory(t.Context(), &out, test.compression, plainLayout(t, ispec.MediaTypeImageLayer, small, large)); err != nil {
			t.Fatalf("compressFromMemory(%s): %v", test.compression, err)
		}
		var s sample
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Wall <= 0 || s.CPU <= 0 || s.Size < test.least || s.Size > test.most {
			t.Errorf("compressFromMemory(%s) = %+v; want times, and a size from %d to %d", test.compression, s, test.least, test.most)
		}
	}
	if err := compressFromMemory(t.Context(), &bytes.Buffer{}, "gzip", plainLayout(t, ispec.MediaTypeImageLayerGzip, small)); err == nil {
		t.Error("compressFromMemory of a compressed layer = <nil>; want an error")
	}
}
