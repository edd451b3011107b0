package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// testImage is an image in a layout that a test can edit, to plant a fault.
type testImage struct {
	t        *testing.T
	dir      string
	index    ispec.Index
	manifest ispec.Manifest
	config   ispec.Image
}

func (p *testImage) blob(d digest.Digest) string {
	return filepath.Join(p.dir, "blobs", d.Algorithm().String(), d.Encoded())
}

func (p *testImage) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *testImage) load() {
	p.t.Helper()
	for _, f := range []struct {
		name func() string
		v    any
	}{
		{func() string { return filepath.Join(p.dir, "index.json") }, &p.index},
		{func() string { return p.blob(p.index.Manifests[0].Digest) }, &p.manifest},
		{func() string { return p.blob(p.manifest.Config.Digest) }, &p.config},
	} {
		b, err := os.ReadFile(f.name())
		p.must(err)
		p.must(json.Unmarshal(b, f.v))
	}
}

func (p *testImage) put(b []byte) (digest.Digest, int64) {
	d := digest.FromBytes(b)
	p.must(os.WriteFile(p.blob(d), b, 0o644))
	return d, int64(len(b))
}

// save repairs the chain of digests, from the config on.
func (p *testImage) save() {
	b, err := json.Marshal(p.config)
	p.must(err)
	p.saveConfig(b)
}

func (p *testImage) saveConfig(b []byte) {
	p.manifest.Config.Digest, p.manifest.Config.Size = p.put(b)
	b, err := json.Marshal(p.manifest)
	p.must(err)
	p.saveManifest(b)
}

func (p *testImage) saveManifest(b []byte) {
	p.index.Manifests[0].Digest, p.index.Manifests[0].Size = p.put(b)
	p.saveIndex()
}

func (p *testImage) saveIndex() {
	b, err := json.Marshal(p.index)
	p.must(err)
	p.must(os.WriteFile(filepath.Join(p.dir, "index.json"), b, 0o644))
}

// damage changes a byte in the middle of a file.
func (p *testImage) damage(name string) {
	b, err := os.ReadFile(name)
	p.must(err)
	b[len(b)/2] ^= 0x20
	p.must(os.WriteFile(name, b, 0o644))
}

type tarFile struct {
	tar.Header
	content []byte
}

// layer returns the number of the layer with an object whose name contains a word.
func (p *testImage) layer(word string) int {
	i := slices.IndexFunc(p.config.History, func(h ispec.History) bool { return strings.Contains(h.Comment, word) })
	if i < 0 {
		p.t.Fatalf("no layer holds %q", word)
	}
	return i
}

func (p *testImage) readLayer(i int) []byte {
	f, err := os.Open(p.blob(p.manifest.Layers[i].Digest))
	p.must(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	p.must(err)
	b, err := io.ReadAll(z)
	p.must(err)
	return b
}

// setLayer replaces a layer, with correct digests.
func (p *testImage) setLayer(i int, tarball []byte) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(tarball)
	p.must(err)
	p.must(z.Close())
	p.manifest.Layers[i].Digest, p.manifest.Layers[i].Size = p.put(b.Bytes())
	p.config.RootFS.DiffIDs[i] = digest.FromBytes(tarball)
	p.save()
}

// edit changes the files of a layer.
func (p *testImage) edit(i int, change func([]tarFile) []tarFile) {
	var files []tarFile
	for r := tar.NewReader(bytes.NewReader(p.readLayer(i))); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		p.must(err)
		b, err := io.ReadAll(r)
		p.must(err)
		files = append(files, tarFile{*h, b})
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range change(files) {
		if f.Typeflag == tar.TypeReg {
			f.Size = int64(len(f.content))
		}
		p.must(w.WriteHeader(&f.Header))
		_, err := w.Write(f.content)
		p.must(err)
	}
	p.must(w.Close())
	p.setLayer(i, b.Bytes())
}

// find returns the index of the first file whose path ends with a suffix.
func find(t *testing.T, files []tarFile, suffix string) int {
	i := slices.IndexFunc(files, func(f tarFile) bool { return strings.HasSuffix(f.Name, suffix) })
	if i < 0 {
		t.Fatalf("no file %q in the layer", suffix)
	}
	return i
}

func (p *testImage) editFile(word, suffix string, change func(*tarFile)) {
	p.edit(p.layer(word), func(files []tarFile) []tarFile {
		change(&files[find(p.t, files, suffix)])
		return files
	})
}

// insert adds files after the one whose path ends with a suffix.
func (p *testImage) insert(word, suffix string, more ...tarFile) {
	p.edit(p.layer(word), func(files []tarFile) []tarFile {
		return slices.Insert(files, find(p.t, files, suffix)+1, more...)
	})
}

func regular(name, content string) tarFile {
	return tarFile{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o444, ModTime: mtime}, []byte(content)}
}

// foreign puts a layer of another program on top.
func (p *testImage) foreign(files ...tarFile) {
	p.manifest.Layers = append(p.manifest.Layers, ispec.Descriptor{MediaType: ispec.MediaTypeImageLayerGzip})
	p.config.RootFS.DiffIDs = append(p.config.RootFS.DiffIDs, "")
	p.config.History = append(p.config.History, ispec.History{CreatedBy: "RUN true", EmptyLayer: true}, ispec.History{CreatedBy: "COPY . ."})
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if f.Typeflag == tar.TypeReg {
			f.Size = int64(len(f.content))
		}
		p.must(w.WriteHeader(&f.Header))
		_, err := w.Write(f.content)
		p.must(err)
	}
	p.must(w.Close())
	p.setLayer(len(p.manifest.Layers)-1, b.Bytes())
}

const (
	helloName = "fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	helloPath = "nix/store/" + helloName
)

var mtime = rootfs.ModTime
