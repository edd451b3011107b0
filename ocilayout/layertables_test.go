package ocilayout

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
)

// sampleTables returns tables of a blob of 1,000 bytes.
func sampleTables() chunked.Location {
	return chunked.Location{
		Digest:   digest.FromString("TOC"),
		TOC:      chunked.Span{Offset: 608, Length: 100, Uncompressed: 400},
		TarSplit: chunked.Span{Offset: 716, Length: 200, Uncompressed: 800},
	}
}

func TestCheckTables(t *testing.T) {
	with := func(key, value string) map[string]string {
		a := sampleTables().Annotations()
		if a[key] = value; value == "" {
			delete(a, key)
		}
		return a
	}
	for _, tt := range []struct {
		name        string
		annotations map[string]string
		chunked     bool
		err         string
	}{
		{"plain", nil, false, ""},
		{"empty", map[string]string{}, false, ""},
		{"tables", sampleTables().Annotations(), true, ""},
		{"no tables", nil, true, "does not say where the tables"},
		{"tables of a plain blob", sampleTables().Annotations(), false, "its blob is of another kind"},
		{"foreign", map[string]string{"x": "y"}, false, "do not belong to zstd:chunked"},
		{"foreign besides", with("containerd.io/snapshot/stargz/toc.digest", "x"), true, "do not belong to zstd:chunked"},
		{"another of the prefix", with("io.github.containers.zstd-chunked.x", "x"), true, "do not belong to zstd:chunked"},
		{"one is missing", with(chunked.AnnotationTarSplit, ""), true, "tarsplit-position"},
		{"beyond the blob", with(chunked.AnnotationTOC, "901:100:400:1"), true, "manifest-position"},
		{"no digest", with(chunked.AnnotationTOCDigest, "sha256:../x"), true, "manifest-checksum"},
	} {
		err := checkTables(tt.annotations, 1000, tt.chunked)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: checkTables = %v; want %q", tt.name, err, tt.err)
		}
	}
}

func TestSameAnnotations(t *testing.T) {
	a := map[string]string{"a": "1", "b": "2"}
	for _, tt := range []struct {
		said, recorded map[string]string
		want           string
	}{
		{nil, nil, ""},
		{nil, map[string]string{}, ""},
		{a, maps.Clone(a), ""},
		{a, nil, `annotation "a" is "1", and the record says ""`},
		{nil, a, `annotation "a" is "", and the record says "1"`},
		{map[string]string{"a": "1", "b": "3"}, a, `annotation "b" is "3", and the record says "2"`},
		{map[string]string{"a": "1", "b": "2", "c": ""}, a, `annotation "c" is "", and the record says ""`},
	} {
		got := ""
		if err := sameAnnotations(tt.said, tt.recorded); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("sameAnnotations(%v, %v) = %q; want %q", tt.said, tt.recorded, got, tt.want)
		}
	}
}

func TestProveTables(t *testing.T) {
	tables := sampleTables()
	toc := bytes.Repeat([]byte("t"), int(tables.TOC.Length))
	tables.Digest = digest.FromBytes(toc)
	blob := make([]byte, 1000)
	copy(blob[tables.TOC.Offset:], toc)
	copy(blob[len(blob)-len(tables.Footer()):], tables.Footer())
	if err := proveTables(bytes.NewReader(blob), 1000, tables); err != nil {
		t.Errorf("proveTables = %v; want <nil>", err)
	}
	for name, change := range map[string]func(*chunked.Location){
		"digest":    func(l *chunked.Location) { l.Digest = digest.FromString("x") },
		"TOC":       func(l *chunked.Location) { l.TOC.Offset++ },
		"length":    func(l *chunked.Location) { l.TOC.Length-- },
		"tar-split": func(l *chunked.Location) { l.TarSplit.Uncompressed++ },
	} {
		other := tables
		change(&other)
		if err := proveTables(bytes.NewReader(blob), 1000, other); err == nil {
			t.Errorf("with another %s: proveTables = <nil>; want an error", name)
		}
	}
	for _, size := range []int{0, 10, 707, 999} {
		if err := proveTables(bytes.NewReader(blob[:size]), int64(size), tables); err == nil {
			t.Errorf("with a blob of %d bytes: proveTables = <nil>; want an error", size)
		}
	}
}

// addedManifest adds an image to a layout, and returns its manifest. The image is not verified.
func addedManifest(t *testing.T, image ImageSpec) ispec.Manifest {
	t.Helper()
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "layout"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Manifest(d)
	if err != nil {
		t.Fatal(err)
	}
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestBaseTables checks that a new image has the tables of its base image's layers, and no other annotations of them.
func TestBaseTables(t *testing.T) {
	tables := sampleTables().Annotations()
	moved := maps.Clone(tables)
	moved[chunked.AnnotationTOC] = "1:2:3"
	more := maps.Clone(tables)
	more["x"] = "y"
	for _, tt := range []struct {
		name      string
		mediaType string
		has, want map[string]string
		lost      string
	}{
		{"plain", ispec.MediaTypeImageLayerZstd, nil, nil, ""},
		{"tables", ispec.MediaTypeImageLayerZstd, tables, tables, ""},
		{"more than tables", ispec.MediaTypeImageLayerZstd, more, tables, ""},
		{"others", ispec.MediaTypeImageLayerZstd, map[string]string{"x": "y"}, nil, ""},
		{"damaged", ispec.MediaTypeImageLayerZstd, moved, nil, `layer 1 is used without its chunks: annotation "io.github.containers.zstd-chunked.manifest-position"`},
		{"gzip", ispec.MediaTypeImageLayerGzip, tables, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newForeign(t)
			layer := f.blob(tt.mediaType, make([]byte, 1000)) // nothing reads it
			layer.Annotations = tt.has
			config := ispec.Image{Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}}
			config.RootFS.DiffIDs = []digest.Digest{digest.FromString("tar")}
			f.index(f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{
				Config: f.blob(ispec.MediaTypeImageConfig, mustJSON(t, config)), Layers: []ispec.Descriptor{layer}})))
			base, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
			if err != nil {
				t.Fatal(err)
			}
			if lost := strings.Join(base.Lost, "\n"); !strings.HasPrefix(lost, tt.lost) || lost != "" && tt.lost == "" {
				t.Errorf("lost: %q; want %q", lost, tt.lost)
			}
			image := sampleImage(t, 1)
			image.Base = base
			if got := addedManifest(t, image).Layers[0].Annotations; !maps.Equal(got, tt.want) {
				t.Errorf("the layer has the annotations %v; want %v", got, tt.want)
			}
		})
	}
}
