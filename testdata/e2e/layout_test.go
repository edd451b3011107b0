package e2e

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout describes an OCI layout. Reading it uses neither export-profile's own code nor its libraries.
type layout struct {
	dir   string
	tags  map[string]image
	files []string // reachable from the index, relative to dir
}

type image struct {
	digest   digest.Digest
	manifest ispec.Manifest
	config   ispec.Image
	size     int64 // sum of the layers' uncompressed tars
}

// readLayout reads a layout and checks all blobs that are reachable from the index:
// each blob must match its name and descriptor, and each layer's tar must match the config.
func readLayout(dir string) (*layout, error) {
	l := &layout{dir: dir, tags: make(map[string]image), files: []string{"blobs", "blobs/sha256", "index.json", "oci-layout"}}
	var version ispec.ImageLayout
	if err := l.json("oci-layout", &version); err != nil {
		return nil, err
	}
	if version.Version != ispec.ImageLayoutVersion {
		return nil, fmt.Errorf("layout version %q", version.Version)
	}
	var index ispec.Index
	if err := l.json("index.json", &index); err != nil {
		return nil, err
	}
	for _, d := range index.Manifests {
		tag := d.Annotations[ispec.AnnotationRefName]
		if _, ok := l.tags[tag]; ok || tag == "" {
			return nil, fmt.Errorf("index.json: tag %q is missing or occurs twice", tag)
		}
		img, err := l.image(d)
		if err != nil {
			return nil, fmt.Errorf("tag %q: %w", tag, err)
		}
		l.tags[tag] = *img
	}
	slices.Sort(l.files)
	l.files = slices.Compact(l.files)
	return l, nil
}

func (l *layout) json(name string, v any) error {
	b, err := os.ReadFile(filepath.Join(l.dir, name))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (l *layout) image(d ispec.Descriptor) (*image, error) {
	img := &image{digest: d.Digest}
	if _, err := l.blob(d, ""); err != nil {
		return nil, err
	}
	if err := l.json(blobName(d), &img.manifest); err != nil {
		return nil, err
	}
	if _, err := l.blob(img.manifest.Config, ""); err != nil {
		return nil, err
	}
	if err := l.json(blobName(img.manifest.Config), &img.config); err != nil {
		return nil, err
	}
	diffIDs := img.config.RootFS.DiffIDs
	if len(diffIDs) != len(img.manifest.Layers) || len(diffIDs) == 0 {
		return nil, fmt.Errorf("%d layers, but the config lists %d", len(img.manifest.Layers), len(diffIDs))
	}
	for i, layer := range img.manifest.Layers {
		size, err := l.blob(layer, diffIDs[i])
		if err != nil {
			return nil, err
		}
		img.size += size
	}
	return img, nil
}

// tarSizes caches the sizes of the tars in blobs that were verified once, by digest.
var tarSizes = make(map[tarOf]int64)

type tarOf struct{ blob, diffID digest.Digest }

func blobName(d ispec.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }

// blob checks a blob. If diffID is set, it also checks the decompressed content and returns its size.
func (l *layout) blob(d ispec.Descriptor, diffID digest.Digest) (int64, error) {
	name := blobName(d)
	l.files = append(l.files, name)
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum, err := digest.FromReader(f)
	if err != nil {
		return 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if sum != d.Digest || fi.Size() != d.Size {
		return 0, fmt.Errorf("%s: %d bytes of digest %s; want %d of %s", name, fi.Size(), sum, d.Size, d.Digest)
	}
	if diffID == "" {
		return fi.Size(), nil
	}
	if size, ok := tarSizes[tarOf{sum, diffID}]; ok {
		return size, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	tar, err := decompress(f, d.MediaType)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	digester := digest.SHA256.Digester()
	size, err := io.Copy(digester.Hash(), tar)
	if err == nil && digester.Digest() != diffID {
		err = fmt.Errorf("the tar has digest %s; want %s", digester.Digest(), diffID)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	tarSizes[tarOf{sum, diffID}] = size
	return size, nil
}

func decompress(r io.Reader, mediaType string) (io.Reader, error) {
	switch mediaType {
	case ispec.MediaTypeImageLayer:
		return r, nil
	case ispec.MediaTypeImageLayerGzip:
		return gzip.NewReader(r)
	case ispec.MediaTypeImageLayerZstd:
		return zstd.NewReader(r)
	}
	return nil, fmt.Errorf("media type %q is not a layer's", mediaType)
}

// litter lists the files in a layout that are not reachable from its index.
func (l *layout) litter() ([]string, error) {
	var litter []string
	err := filepath.WalkDir(l.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == l.dir {
			return err
		}
		rel := path[len(l.dir)+1:]
		if _, ok := slices.BinarySearch(l.files, rel); !ok {
			litter = append(litter, rel)
		}
		return nil
	})
	return litter, err
}

// wantLayout checks that a layout is complete, contains no litter, and has exactly these tags and digests.
func wantLayout(t *testing.T, dir string, want map[string]string) *layout {
	t.Helper()
	l, err := readLayout(dir)
	if err != nil {
		t.Fatalf("layout %q: %v", dir, err)
	}
	litter, err := l.litter()
	if err != nil {
		t.Fatal(err)
	}
	if len(litter) > 0 {
		t.Errorf("layout %q contains %q, which is not reachable from its index", dir, litter)
	}
	for tag, img := range l.tags {
		if verified[img.digest] {
			continue // verified before
		}
		if out, err := output(exec.Command(lab.program, "verify", "oci:"+dir+":"+tag)); err != nil {
			t.Errorf("verify %s in %q: %v\n%s", tag, dir, err, out)
		}
		verified[img.digest] = true
	}
	if got := l.digests(); !maps.Equal(got, want) {
		t.Errorf("layout %q has the tags %v; want %v", dir, got, want)
	}
	return l
}

// verified records the images that export-profile has verified.
var verified = make(map[digest.Digest]bool)

func (l *layout) digests() map[string]string {
	m := make(map[string]string)
	for tag, img := range l.tags {
		m[tag] = img.digest.String()
	}
	return m
}
