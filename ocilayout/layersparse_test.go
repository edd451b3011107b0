package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tarImage returns an image of one uncompressed layer.
func tarImage(b []byte) *Image {
	d := digest.FromBytes(b)
	layer := BlobSource{Descriptor: ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: d, Size: int64(len(b))}, DiffID: d}
	open := func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return &Image{Layers: []BlobSource{layer}, open: open}
}

// sparseTar returns a tar of files of holes, each of the size. archive/tar writes none, so this patches the headers.
func sparseTar(t testing.TB, size int64, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: blockSize, PAXRecords: map[string]string{
			"VND.sparse.major": "1", "VND.sparse.minor": "0", "VND.sparse.realsize": fmt.Sprint(size),
		}}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		noData := make([]byte, blockSize) // the map of a file without data
		copy(noData, "0\n")
		if _, err := w.Write(noData); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("VND.sparse"), []byte("GNU.sparse"))
}

// TestSparseLayer checks that an image can have sparse files, as lastlog of distributions is, but that their holes
// are neither hashed, nor endless to read, nor more than a sum of sizes can hold.
func TestSparseLayer(t *testing.T) {
	img := tarImage(sparseTar(t, 1<<40, "nix/store/o", "var/log/lastlog"))
	tree, err := img.Tree(t.Context(), TreeOptions{Hash: partHash})
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := tree.visibleObject("o"); !ok || o.Hash != "" {
		t.Errorf("the object is %+v, %v; want it there, without a hash", o, ok)
	}
	e, err := tree.Lower.Stat("var/log/lastlog")
	if err != nil || e.Size != 1<<40 {
		t.Errorf("lastlog has %d bytes, %v; want a tebibyte", e.Size, err)
	}
	if b, err := tree.Lower.Read(e, 4<<20); err == nil {
		t.Errorf("Read of a tebibyte = %d bytes; want an error", len(b))
	}
	for _, err = range img.Object(t.Context(), 0, "o") {
	}
	if err == nil || !strings.Contains(err.Error(), "is sparse") {
		t.Errorf("Object with a hole of a tebibyte: %v; want an error", err)
	}
	for size, want := range map[int64]string{1 << 31: "", 1<<31 + 1: "sparse files of more than 4294967296 bytes"} {
		n, err := 0, error(nil)
		for _, err = range tarImage(sparseTar(t, size, "a", "b")).Contents(t.Context(), 0) {
			n++
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Contents with two holes of %d bytes: %d files, %v; want %q", size, n, err, want)
		}
	}
	linked := sparseTar(t, 1<<49+1, "a")
	linked = append(linked[:len(linked)-2*blockSize], foreignTar(t, "h b -> a")...)
	for name, b := range map[string][]byte{
		"two files":            sparseTar(t, 1<<49+1, "a", "b"),
		"a file of 2^62 bytes": sparseTar(t, 1<<62, "a"),
		"two names":            linked,
	} {
		_, err := tarImage(b).Tree(t.Context(), TreeOptions{})
		if want := "sparse files of more than"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Tree with %s: %v; want %q", name, err, want)
		}
	}
}
