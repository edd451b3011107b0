package ocilayout

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// TestLayerFactOfAnotherBlob checks that a config cannot claim the diffID of a known layer for another blob.
func TestLayerFactOfAnotherBlob(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	o := TreeOptions{Facts: facts, Hash: partHash}
	good := []string{"d nix/store/o", "f nix/store/o/sh GOOD"}
	b, _, err := readTree(t, o, good)
	if err != nil {
		t.Fatal(err)
	}
	gzip := ispec.MediaTypeImageLayerGzip
	for _, tt := range []struct {
		name      string
		blob      []byte
		mediaType string
		err       string // empty: the layer is the known one
	}{
		{"the same", gzipped(t, foreignTar(t, good...)), gzip, ""},
		{"another content", gzipped(t, foreignTar(t, "d nix/store/o", "f nix/store/o/sh EVIL")), gzip, "and the config says"},
		{"not compressed", foreignTar(t, good...), ispec.MediaTypeImageLayer, ""},
		{"another type", gzipped(t, foreignTar(t, good...)), ispec.MediaTypeImageLayer, "read layer"},
	} {
		f := newForeign(t)
		config := ispec.Image{Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}}
		config.RootFS = ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{b.Layers[0].DiffID}}
		f.index(f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageManifest,
			Config: f.blob(ispec.MediaTypeImageConfig, mustJSON(t, config)),
			Layers: []ispec.Descriptor{f.blob(tt.mediaType, tt.blob)},
		})))
		claimed, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = claimed.Tree(t.Context(), o)
		switch {
		case tt.err == "" && err != nil:
			t.Errorf("%s: Tree: %v", tt.name, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: Tree: %v; want %s", tt.name, err, tt.err)
		}
	}
}
