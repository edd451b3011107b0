package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/casext"

	"github.com/export-profile/export-profile/ocilayout/compress"
)

var hello = Name{Tag: "v1", Full: "docker.io/library/hello:v1"}

// stream returns an image as WriteArchive writes it.
func stream(t *testing.T, image ImageSpec, names []Name, o Options) ([]byte, ArchiveResult) {
	t.Helper()
	l, err := OpenTemporary(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	d, err := l.AddImage(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	a, err := l.WriteArchive(t.Context(), &b, d, names)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runVerify(file, true); err != nil {
		t.Error(err)
	}
	if a.Size != int64(b.Len()) {
		t.Errorf("an archive of %d bytes says %d", b.Len(), a.Size)
	}
	return b.Bytes(), a
}

// unpackArchive checks all headers of an archive, unpacks it and returns the names in order.
func unpackArchive(t *testing.T, b []byte, dir string) []string {
	t.Helper()
	if len(b)%blockSize != 0 || len(b) < 2*blockSize || !bytes.Equal(b[len(b)-2*blockSize:], make([]byte, 2*blockSize)) {
		t.Errorf("the archive has %d bytes and does not end in two empty blocks", len(b))
	}
	var all []string
	r := bytes.NewReader(b)
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
		if h.Typeflag == tar.TypeDir {
			want := tar.Header{Name: h.Name, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: h.ModTime, Format: tar.FormatUSTAR}
			if !cmp.Equal(*h, want) || h.ModTime.Unix() != 1 {
				t.Errorf("header of %s: %+v", h.Name, h)
			}
			if err := os.Mkdir(filepath.Join(dir, h.Name), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		size := h.Size
		h.Name, h.Size = "", 0
		want := tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, ModTime: h.ModTime, Format: tar.FormatUSTAR}
		if !cmp.Equal(*h, want) || h.ModTime.Unix() != 1 || size != int64(len(content)) {
			t.Errorf("header of %s: %+v", all[len(all)-1], h)
		}
		path := filepath.Join(dir, all[len(all)-1])
		// This fails if the archive has no entry for the directory; skopeo as an ordinary user would fail, too.
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r.Len() > 0 {
		t.Errorf("%d bytes follow the end of the archive", r.Len())
	}
	return all
}

type dockerImage struct {
	Config           string
	RepoTags, Layers []string
}

// readDocker reads an unpacked archive as docker load does, checks it and removes manifest.json.
func readDocker(t *testing.T, dir string) dockerImage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var images []dockerImage
	if err := d.Decode(&images); err != nil || len(images) != 1 || images[0].Layers == nil {
		t.Fatalf("manifest.json: %s, %v", b, err)
	}
	i := images[0]
	var config ispec.Image
	if b, err = os.ReadFile(filepath.Join(dir, i.Config)); err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil || len(config.RootFS.DiffIDs) != len(i.Layers) {
		t.Fatalf("config: %s, %v; want as many layers as %v", b, err, i)
	}
	if filepath.Base(i.Config) != digest.FromBytes(b).Encoded() {
		t.Errorf("config %s has digest %s", i.Config, digest.FromBytes(b))
	}
	for n, name := range i.Layers {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		// The first bytes tell the compression: manifest.json has no types.
		mediaType := ispec.MediaTypeImageLayer
		switch {
		case bytes.HasPrefix(b, []byte("\x1f\x8b")):
			mediaType = ispec.MediaTypeImageLayerGzip
		case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
			mediaType = ispec.MediaTypeImageLayerZstd
		}
		if b, err = unpack(mediaType, b); err != nil || digest.FromBytes(b) != config.RootFS.DiffIDs[n] {
			t.Errorf("layer %d: %v, diffID %s; want %s", n, err, digest.FromBytes(b), config.RootFS.DiffIDs[n])
		}
	}
	if err := os.Remove(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	return i
}

// without returns an archive without some of its files, as other programs write it.
func without(t *testing.T, b []byte, names ...string) []byte {
	t.Helper()
	var rest bytes.Buffer
	w := tar.NewWriter(&rest)
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil && slices.Contains(names, h.Name) {
			continue
		}
		if err == nil {
			err = w.WriteHeader(h)
		}
		if err == nil {
			_, err = io.Copy(w, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return rest.Bytes()
}

func TestArchive(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			image := with(sampleImage(t, 1), compression)
			published := filepath.Join(t.TempDir(), "layout")
			d := write(t, published, image, hello)
			b, a := stream(t, image, []Name{hello}, Options{})
			if got := len(a.Notes); (got == 1) != (compression == "zstd") {
				t.Errorf("notes %q", a.Notes)
			}

			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			all := unpackArchive(t, b, dir)
			m := manifestOf(t, published, d)
			want := []string{"oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/", blobName(d.Digest), blobName(m.Config.Digest)}
			for _, layer := range m.Layers {
				want = append(want, blobName(layer.Digest))
			}
			if diff := cmp.Diff(want, all); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if got := readDocker(t, dir).RepoTags; !cmp.Equal(got, []string{hello.Full}) {
				t.Errorf("RepoTags are %q", got)
			}
			sameLayout(t, published, dir, d)
		})
	}
}

func manifestOf(t *testing.T, dir string, d ispec.Descriptor) (m ispec.Manifest) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, blobName(d.Digest)))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameLayout checks that an unpacked archive equals the published layout, by itself and as umoci reads it.
func sameLayout(t *testing.T, published, dir string, d ispec.Descriptor) {
	t.Helper()
	if got := verify(t, dir); got["v1"] != d.Digest || len(got) != 1 {
		t.Errorf("the archive has %v, want v1 and %s", got, d.Digest)
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		want, err := os.ReadFile(filepath.Join(published, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is %s, %v, want %s", name, got, err, want)
		}
	}
	e, err := openEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	paths, err := casext.NewEngine(e).ResolveReference(t.Context(), "v1")
	if err != nil || len(paths) != 1 || paths[0].Descriptor().Digest != d.Digest {
		t.Errorf("umoci finds %v, %v, want %s", paths, err, d.Digest)
	}
}

// The digest of the sample's archive. It changes only with the manifest of the sample.
const sampleArchive = "sha256:d69c313f18496aa515fd93bf7c4e007ec32638c93b571ac14fdb790e715d029d"

// TestArchiveSame checks that neither the destination nor the cache changes the bytes of an archive.
func TestArchiveSame(t *testing.T) {
	image := sampleImage(t, 1)
	want, _ := stream(t, image, []Name{hello}, Options{})
	if got := digest.FromBytes(want); got != sampleArchive {
		t.Errorf("the archive is %s, want %s", got, sampleArchive)
	}
	cache := testCache(t, t.TempDir())
	for _, how := range []string{"cold", "warm"} {
		if how == "warm" {
			image = unwalked(t, image)
		}
		file := filepath.Join(t.TempDir(), "hello.tar")
		l, err := OpenArchive(t.Context(), file, Options{Cache: cache, Sync: true})
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.AddImage(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		var streamed bytes.Buffer
		if _, err := l.WriteArchive(t.Context(), &streamed, d, []Name{hello}); err != nil {
			t.Fatal(err)
		}
		var piped []byte
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			var err error
			piped, err = io.ReadAll(r)
			read <- err
		}()
		_, err = l.WriteArchive(t.Context(), w, d, []Name{hello})
		if err := errors.Join(err, w.Close(), <-read, r.Close()); err != nil {
			t.Fatal(err)
		}
		a, err := l.PublishArchive(t.Context(), d, []Name{hello})
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for way, got := range map[string][]byte{"buffer": streamed.Bytes(), "pipe": piped, "file": b} {
			if !bytes.Equal(got, want) {
				t.Errorf("%s, to a %s: %s of %d bytes, want %s of %d", how, way, digest.FromBytes(got), len(got), digest.FromBytes(want), len(want))
			}
		}
		if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o644 || fi.Size() != a.Size {
			t.Errorf("the file has %v, %v", fi, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got := names(t, filepath.Dir(file)); !cmp.Equal(got, []string{"hello.tar"}) {
			t.Errorf("beside the file there is %q", got)
		}
	}
}

// TestArchiveFromCache checks that layers come straight from the cache, even if it is removed meanwhile.
func TestArchiveFromCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	image := sampleImage(t, 1)
	want, _ := stream(t, image, nil, Options{Cache: testCache(t, dir)})

	l, err := OpenTemporary(t.Context(), "", Options{Cache: testCache(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	at, err := filepath.EvalSymlinks(l.staging.Path)
	if inside, relErr := filepath.Rel(dir, at); err != nil || relErr != nil || strings.HasPrefix(inside, "..") {
		t.Errorf("staging directory is %s, %v, want it in %s", at, err, dir)
	}
	d, err := l.AddImage(t.Context(), unwalked(t, image))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Join(l.engine.dir, blobs)); len(got) != 2 {
		t.Errorf("the layout has the blobs %q, want the manifest and the config alone", got)
	}
	cached, err := filepath.Glob(filepath.Join(dir, CacheName, blobsName, "*"))
	if err != nil || len(cached) == 0 {
		t.Fatalf("the cache has the blobs %q, %v", cached, err)
	}
	for _, name := range cached {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := l.WriteArchive(t.Context(), &b, d, nil); err != nil || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("WriteArchive without the cache's files = %d bytes, %v; want %d", b.Len(), err, len(want))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if litter, err := filepath.Glob(filepath.Join(dir, CacheName, ".*")); err != nil || len(litter) > 0 {
		t.Errorf("the cache has %q, %v", litter, err)
	}
}

// TestArchiveTwice checks that equal layers are in an archive once, and that an image without layers lists none.
func TestArchiveTwice(t *testing.T) {
	image := sampleImage(t, 1)
	image.Layers = []Layer{image.Layers[0], image.Layers[1], image.Layers[0]}
	b, _ := stream(t, image, nil, Options{})
	dir := t.TempDir()
	all := unpackArchive(t, b, dir)
	if got := readDocker(t, dir).Layers; len(all) != 3+2+2+2 || len(got) != 3 || got[0] != got[2] {
		t.Errorf("the archive has %q, and the layers %q", all, got)
	}
	image.Layers = nil
	b, _ = stream(t, image, nil, Options{})
	dir = t.TempDir()
	unpackArchive(t, b, dir)
	readDocker(t, dir)
}

// failAfter fails after this many bytes.
type failAfter int

var errFull = errors.New("full")

func (f *failAfter) Write(p []byte) (int, error) {
	n := min(len(p), int(*f))
	if *f -= failAfter(n); n < len(p) {
		return n, errFull
	}
	return n, nil
}

// TestArchiveFails checks that after any failure the file is unchanged, and nothing lies beside it.
func TestArchiveFails(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		before func(*testing.T, *Layout, *ispec.Descriptor)
		names  []Name
		want   string
	}{
		"missing": {before: func(t *testing.T, l *Layout, d *ispec.Descriptor) {
			changeLargest(t, l, os.Remove)
		}, want: "no such file"},
		"shorter": {before: func(t *testing.T, l *Layout, d *ispec.Descriptor) {
			changeLargest(t, l, func(name string) error { return os.Truncate(name, 1) })
		}, want: "has 1 bytes instead of"},
		"no manifest": {before: func(t *testing.T, l *Layout, d *ispec.Descriptor) {
			d.MediaType = ispec.MediaTypeImageIndex
		}, want: "is not an image manifest"},
		"closed": {before: func(t *testing.T, l *Layout, d *ispec.Descriptor) {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}, want: "closed"},
		"cancelled": {ctx: cancelled, want: "canceled"},
		"bad tag":   {names: []Name{{Tag: "a b"}}, want: "not a tag"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "old.tar")
			if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := OpenArchive(t.Context(), file, Options{})
			if err != nil {
				t.Fatal(err)
			}
			d, err := l.AddImage(t.Context(), sampleImage(t, 1))
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx
			}
			if test.before != nil {
				test.before(t, l, &d)
			}
			if _, err = l.PublishArchive(ctx, d, test.names); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("PublishArchive = %v, want %q", err, test.want)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != "old" {
				t.Errorf("the file has %q, %v", b, err)
			}
			if got := names(t, filepath.Dir(file)); len(got) != 1 {
				t.Errorf("beside the file there is %q", got)
			}
		})
	}
}

// changeLargest changes the largest blob.
func changeLargest(t *testing.T, l *Layout, change func(string) error) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(l.engine.dir, blobs, "*"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	size := func(name string) int64 {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	largest := slices.MaxFunc(all, func(a, b string) int { return int(size(a) - size(b)) })
	if err := change(largest); err != nil {
		t.Fatal(err)
	}
}

// TestArchiveFull checks that an error of the writer is returned, whichever write fails.
func TestArchiveFull(t *testing.T) {
	l, err := OpenTemporary(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), sampleImage(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	a, err := l.WriteArchive(t.Context(), h, d, []Name{hello})
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < a.Size; at += 256 {
		f := failAfter(at)
		if got, err := l.WriteArchive(t.Context(), &f, d, []Name{hello}); !errors.Is(err, errFull) || got.Size != at {
			t.Fatalf("WriteArchive to a disk with room for %d bytes = %d, %v", at, got.Size, err)
		}
	}
	if err := l.Publish(t.Context(), d, hello); err == nil {
		t.Error("Publish of a temporary layout works")
	}
	if _, err := l.PublishArchive(t.Context(), d, nil); err == nil {
		t.Error("PublishArchive of a stream works")
	}
}

// TestOutputFile checks where a file can be written, and what is refused.
func TestOutputFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "target"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "target/file"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target/file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"target", "new/", "target/file/new", "missing/new", "/dev/null"} {
		path := dir + "/" + name
		if filepath.IsAbs(name) {
			path = name
		}
		if l, err := OpenArchive(t.Context(), path, Options{}); err == nil {
			l.Close()
			t.Errorf("OpenArchive(%q) works", name)
		}
		if _, err := PublishTar(t.Context(), path, sample(1), compress.Method{}, Options{}); err == nil {
			t.Errorf("PublishTar(%q) works", name)
		}
	}
	if _, err := PublishTar(t.Context(), filepath.Join(dir, "link"), sample(1), method("none"), Options{}); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "link")); err != nil || fi.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", fi, err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "target/file")); err != nil || fi.Size() < 1000 {
		t.Errorf("the link's target is %v, %v", fi, err)
	}
	if got := append(names(t, dir), names(t, dir+"/target")...); !cmp.Equal(got, []string{"link", "target", "file"}) {
		t.Errorf("there is %q", got)
	}
	if _, err := OpenTemporary(t.Context(), "", Options{}); err == nil {
		t.Error("OpenTemporary without a directory works")
	}
}
