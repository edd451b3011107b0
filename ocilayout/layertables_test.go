package ocilayout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/history"
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
		{"no tables", nil, true, ""}, // as for names that are not UTF-8
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

// TestResultChunked checks that results say which layers have no tables.
func TestResultChunked(t *testing.T) {
	for _, z := range []string{"zstd:chunked", "zstd"} {
		image := with(sampleImage(t, 1), z)
		l, err := Open(t.Context(), filepath.Join(t.TempDir(), "layout"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.AddImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
		for i, r := range l.Results() {
			if want := z == "zstd:chunked" && i > 0; r.Chunked != want { // the first has a name that is not UTF-8
				t.Errorf("%s: layer %d has tables: %v; want %v", z, i, r.Chunked, want)
			}
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

// chunkedLayers returns the layers of an image in a layout, and checks that the tables fit the blobs.
// The first layer of sampleImage has a name that is not UTF-8, and so no tables.
func chunkedLayers(t *testing.T, dir string, image ispec.Descriptor) []ispec.Descriptor {
	t.Helper()
	layers := readManifest(t, dir, image).Layers
	for i, d := range layers {
		if err := checkTables(d.Annotations, d.Size, true); err != nil {
			t.Fatalf("layer %s: %v", d.Digest, err)
		}
		tables, err := chunked.ParseAnnotations(d.Annotations, d.Size)
		if none := tables == (chunked.Location{}); err != nil || none != (i == 0) {
			t.Fatalf("layer %d has tables: %v, %v", i, !none, err)
		} else if none {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, blobs, d.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		if err := proveTables(bytes.NewReader(b), d.Size, tables); err != nil {
			t.Errorf("layer %s: %v", d.Digest, err)
		}
	}
	return layers
}

// TestChunkedCache checks that the tables of a layer are the same wherever it comes from, and that no other method inherits them.
func TestChunkedCache(t *testing.T) {
	image := with(sampleImage(t, 1), "zstd:chunked")
	layout := func() string { return filepath.Join(t.TempDir(), "layout") }
	dir := layout()
	o := Options{Cache: testCache(t, t.TempDir())}
	d, how, _ := writeCached(t, dir, image, o)
	want := chunkedLayers(t, dir, d)
	if how != "built" {
		t.Errorf("first the layers are %s; want built", how)
	}
	for i, f := range o.Cache.Forecast(image.Layers, image.Compression) {
		if diff := cmp.Diff(f.Blob, want[i]); f.How != Cached || diff != "" {
			t.Errorf("Forecast of layer %d: %v, and %s", i, f.How, diff)
		}
	}
	if _, damage, err := o.Cache.Verify(t.Context(), nil); len(damage) > 0 || err != nil {
		t.Errorf("Verify = %v, %v; want no damage", damage, err)
	}

	dir = layout()
	d, how, _ = writeCached(t, dir, unwalked(t, image), o)
	if diff := cmp.Diff(chunkedLayers(t, dir, d), want); how != "cached" || diff != "" {
		t.Errorf("again the layers are %s, and %s", how, diff)
	}
	for _, other := range []string{"zstd", "gzip", "none"} {
		dir = layout()
		d, how, _ := writeCached(t, dir, unwalked(t, with(image, other)), o)
		for _, l := range readManifest(t, dir, d).Layers {
			if how != "recompressed" || l.Annotations != nil {
				t.Errorf("%s: layers are %s, with the annotations %v; want recompressed, none", other, how, l.Annotations)
			}
		}
		from := Options{Cache: testCache(t, t.TempDir())}
		writeCached(t, layout(), with(image, other), from)
		dir = layout()
		d, how, _ = writeCached(t, dir, unwalked(t, image), from)
		if diff := cmp.Diff(chunkedLayers(t, dir, d), want); how != "recompressed" || diff != "" {
			t.Errorf("after %s the layers are %s, and %s", other, how, diff)
		}
	}
}

// TestChunkedRecords checks that a record with wrong tables is never used, and that Verify and VerifyCache name it.
func TestChunkedRecords(t *testing.T) {
	image := with(sampleImage(t, 1), "zstd:chunked")
	tar := func(c *Cache) tarRecord {
		key, err := tarRecordName(image.Layers[len(image.Layers)-1])
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.loadTar(key)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tt := range []struct {
		name     string
		change   func(map[string]string)
		how      string // of the layers of the next image
		what     string // Verify finds
		compared string // VerifyCache finds
	}{
		{"right", func(map[string]string) {}, "cached", "", ""},
		{"none", func(a map[string]string) { clear(a) }, "cached", "", "and the record says \"\""},
		{"one is missing", func(a map[string]string) { delete(a, chunked.AnnotationTOC) }, "cached built", "is no position", ""},
		{"another digest", func(a map[string]string) { a[chunked.AnnotationTOCDigest] = recordKey("a") }, "",
			"the digest of its TOC is", "and the record says \"" + recordKey("a")},
		{"elsewhere", func(a map[string]string) { a[chunked.AnnotationTarSplit] = "0:1:1" }, "", "its footer names other places", "and the record says \"0:1:1\""},
		{"of another program", func(a map[string]string) { a["x"] = "y" }, "cached built", "do not belong to zstd:chunked", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := func() Options {
				o := Options{Cache: testCache(t, t.TempDir())}
				writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
				name := blobRecordName(tar(o.Cache).DiffID, image.Compression)
				r, err := o.Cache.loadBlob(tar(o.Cache).DiffID, image.Compression)
				if err != nil {
					t.Fatal(err)
				}
				tt.change(r.Annotations)
				if err := o.Cache.store(t.TempDir(), name, r); err != nil {
					t.Fatal(err)
				}
				return o
			}
			o := changed()
			_, damage, err := o.Cache.Verify(t.Context(), nil)
			if err != nil || (tt.what == "") != (len(damage) == 0) || len(damage) > 1 || len(damage) == 1 && !strings.Contains(damage[0].What, tt.what) {
				t.Errorf("Verify = %v, %v; want %q", damage, err, tt.what)
			}
			if _, damage, err := o.Cache.Verify(t.Context(), nil); len(damage) > 0 || err != nil {
				t.Errorf("the second Verify = %v, %v; want no damage", damage, err)
			}
			if tt.how != "" {
				_, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, changed())
				if how != tt.how {
					t.Errorf("the layers are %s; want %s: %s", how, tt.how, reasons)
				}
			}
			o = changed()
			o.VerifyCache = true
			_, _, _, err = writeCachedErr(t.Context(), filepath.Join(t.TempDir(), "layout"), image, o)
			if tt.compared == "" {
				if err != nil {
					t.Errorf("VerifyCache = %v; want <nil>", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), ": verify cache: blob sha256:") || !strings.Contains(err.Error(), tt.compared) {
				t.Errorf("VerifyCache = %v; want %q", err, tt.compared)
			}
		})
	}
}

// TestChunkedPrevious checks that layers kept from a previous image have its annotations, exactly, with any compression.
func TestChunkedPrevious(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	image := with(sampleImage(t, 1), "zstd:chunked")
	want := chunkedLayers(t, dir, write(t, dir, image, Name{Tag: "v1"}))
	previous, err := previousIn(t.Context(), dir, "v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"zstd:chunked", "gzip"} {
		for _, to := range []string{dir, filepath.Join(t.TempDir(), "other")} {
			next := with(image, method)
			next.Layers = slices.Clone(image.Layers)
			for i := range next.Layers {
				if next.Layers[i].Reuse = &previous.Layers[i].BlobSource; next.Layers[i].Reuse.Chunked() != (i > 0) {
					t.Errorf("layer %d has chunks: %v", i, i == 0)
				}
			}
			d := write(t, to, next, Name{Tag: "v2"})
			if diff := cmp.Diff(chunkedLayers(t, to, d), want); diff != "" {
				t.Errorf("%s: %s", method, diff)
			}
		}
	}
}

// TestPreviousTables checks that an image with damaged tables is no previous image.
func TestPreviousTables(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	image := with(sampleImage(t, 1), "zstd:chunked")
	d := write(t, dir, image, Name{Tag: "v1"})
	good := readManifest(t, dir, d)
	f := foreign{t, dir}
	for name, change := range map[string]func(*ispec.Descriptor){
		"one is missing":  func(d *ispec.Descriptor) { delete(d.Annotations, chunked.AnnotationTOC) },
		"beyond the blob": func(d *ispec.Descriptor) { d.Annotations[chunked.AnnotationTOC] = fmt.Sprintf("%d:1:1:1", d.Size) },
		"of gzip":         func(d *ispec.Descriptor) { d.MediaType = ispec.MediaTypeImageLayerGzip },
	} {
		m := good
		m.Layers = slices.Clone(good.Layers)
		m.Layers[1].Annotations = maps.Clone(good.Layers[1].Annotations)
		change(&m.Layers[1])
		f.index(f.blob(ispec.MediaTypeImageManifest, mustJSON(t, m)))
		if p, err := previousIn(t.Context(), dir, ""); !errors.Is(err, history.ErrForeign) || !strings.Contains(err.Error(), "layer 2: ") {
			t.Errorf("%s: ReadPrevious = %v, %v; want %v", name, p, err, history.ErrForeign)
		}
	}
}

// TestReadLyingTables checks that a reader of a whole layer learns if its tables lie, and that such a layer has a key of its own.
func TestReadLyingTables(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	d := write(t, dir, with(sampleImage(t, 1), "zstd:chunked"), Name{Tag: "v1"})
	good := readManifest(t, dir, d)
	f := foreign{t, dir}
	keys := make(map[string]bool)
	for name, want := range map[string]string{"honest": "", "lying": "has tables of zstd:chunked that lie: \"/\": TOC: it has the digest"} {
		m := good
		m.Layers = slices.Clone(good.Layers)
		if want != "" {
			m.Layers[1].Annotations = maps.Clone(good.Layers[1].Annotations)
			m.Layers[1].Annotations[chunked.AnnotationTOCDigest] = digest.FromString("x").String()
		}
		f.index(f.blob(ispec.MediaTypeImageManifest, mustJSON(t, m)))
		img, err := imageIn(t.Context(), dir, "", ispec.Platform{})
		if err != nil {
			t.Fatal(err)
		}
		keys[img.Layers[1].Key()] = true
		for _, err = range img.Contents(t.Context(), 1) {
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: Contents: %v; want %q", name, err, want)
		}
		if _, err := listLayer(t.Context(), img.open, &img.Layers[1], img.StoreDir, nil); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: listLayer: %v; want %q", name, err, want)
		}
	}
	if len(keys) != 2 {
		t.Error("both layers have the same key")
	}
}

// TestChunkedArchive checks that an archive has the manifest with the annotations.
func TestChunkedArchive(t *testing.T) {
	image := with(sampleImage(t, 1), "zstd:chunked")
	there := filepath.Join(t.TempDir(), "layout")
	d := write(t, there, image, Name{Tag: "v1"})
	b, _ := stream(t, image, []Name{hello}, Options{Cache: testCache(t, t.TempDir())})
	dir := t.TempDir()
	unpackArchive(t, b, dir)
	if diff := cmp.Diff(chunkedLayers(t, dir, d), chunkedLayers(t, there, d)); diff != "" {
		t.Error(diff)
	}
}

// TestOldRecords checks that this version reads the records of versions that did not know zstd:chunked, and writes the same for plain layers.
func TestOldRecords(t *testing.T) {
	c := testCache(t, t.TempDir())
	dir, err := c.newFiles()
	if err != nil {
		t.Fatal(err)
	}
	z, diffID := method("zstd"), digest.FromString("tar")
	name := blobRecordName(diffID, z)
	line := fmt.Sprintf(`{"compressor":"zstd:1, compress v1.20.3, blocks 1","digest":%q,"size":1000,"modTime":1}`, digest.FromString("blob"))
	if err := os.WriteFile(filepath.Join(c.dir, name), sealRecord(name, []byte(line)), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := c.loadBlob(diffID, z)
	if want := (ispec.Descriptor{MediaType: ispec.MediaTypeImageLayerZstd, Digest: digest.FromString("blob"), Size: 1000}); err != nil || !cmp.Equal(r.descriptor(z), want) {
		t.Errorf("loadBlob = %+v, %v; want %+v", r, err, want)
	}
	if err := c.store(dir.Path, name, r); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(c.dir, name)); err != nil || !bytes.HasPrefix(b, []byte(line+"\n")) {
		t.Errorf("the record is now %s, %v; want %s", b, err, line)
	}

	record, _ := sampleRecord(t)
	if b := mustJSON(t, record); bytes.Contains(b, []byte("annotations")) {
		t.Errorf("the shared record of a plain layer is %s; want no annotations", b)
	}
}
