package ocilayout

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTreeEqualLayers checks that a layer that occurs several times is read once and applied each time.
func TestTreeEqualLayers(t *testing.T) {
	again, over := []string{"d nix/store/o", "f nix/store/o/a one", "f etc/passwd x"}, []string{"d etc", "f etc/passwd y"}
	f := newForeign(t)
	f.index(f.image(false, ispec.Image{}, again, over, again, again))
	b, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	open := b.open
	var opened, progress atomic.Int64
	b.open = func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		opened.Add(1)
		return open(ctx, d)
	}
	tree, err := b.Tree(t.Context(), TreeOptions{Hash: partHash, Progress: func(n int64) { progress.Add(n) }})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Load() != 2 || progress.Load() != b.Size() {
		t.Errorf("layers were read %d times, %d of %d bytes; want 2 times", opened.Load(), progress.Load(), b.Size())
	}
	e, err := tree.Lower.Stat("etc/passwd")
	if err != nil || e.Layer != 3 {
		t.Fatalf("etc/passwd is of layer %d, %v; want 3", e.Layer, err)
	}
	if content, err := tree.Lower.Read(e, 10); string(content) != "x" || err != nil {
		t.Errorf("content is %q, %v; want x", content, err)
	}
}

// TestReadManyLayers checks that an image with more layers than any runtime mounts is refused before they are read.
func TestReadManyLayers(t *testing.T) {
	for n, want := range map[int]string{mostImageLayers: "", mostImageLayers + 1: "129 layers, want at most 128"} {
		f := newForeign(t)
		f.index(f.image(false, ispec.Image{}, slices.Repeat([][]string{{"d etc"}}, n)...))
		_, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d layers: %v; want %q", n, err, want)
		}
	}
}

// TestTreeReadLast checks that the last entry of a path counts.
func TestTreeReadLast(t *testing.T) {
	for _, path := range []string{"etc/passwd", "etc/other"} { // the listing keeps the content of the first one
		_, tree, err := readTree(t, TreeOptions{}, []string{"f " + path + " aaa", "f " + path + " bbb"})
		if err != nil {
			t.Fatal(err)
		}
		e, err := tree.Lower.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := tree.Lower.Read(e, 10); string(b) != "bbb" || err != nil {
			t.Errorf("Read(%q) = %q, %v; want bbb", path, b, err)
		}
	}
}
