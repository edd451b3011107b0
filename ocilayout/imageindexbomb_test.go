package ocilayout

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bomb writes an image in nested indexes, each naming the next one many times.
func bomb(f foreign, levels, often int) ispec.Descriptor {
	d := f.image(false, ispec.Image{}, []string{"f a x"})
	for range levels {
		d = f.blob(ispec.MediaTypeImageIndex, mustJSON(f.t, ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: slices.Repeat([]ispec.Descriptor{d}, often)}))
	}
	return d
}

// TestAddIndexBomb checks that a descriptor is followed only once, however often indexes name it.
func TestAddIndexBomb(t *testing.T) {
	f := newForeign(t)
	f.index(bomb(f, 4, 6))
	source, err := FindImage(t.Context(), f.dir, "")
	if err != nil {
		t.Fatal(err)
	}
	opened, open := 0, source.Open
	source.Open = func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		opened++
		return open(ctx, d)
	}
	l, err := Open(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j, err := l.AddIndex(t.Context(), []*ImageSource{source, source}, nil)
	if err != nil || len(j.Platforms) != 1 {
		t.Errorf("AddIndex = %+v, %v; want one platform", j, err)
	}
	if want := 2 * (4 + 2); opened != want {
		t.Errorf("%d documents were read; want %d", opened, want)
	}
}

// TestAddIndexMany checks that an image under very many descriptors is refused.
func TestAddIndexMany(t *testing.T) {
	f := newForeign(t)
	image := f.image(false, ispec.Image{}, []string{"f a x"})
	var all []ispec.Descriptor
	for i := range mostImages {
		d := image
		d.Annotations = map[string]string{"n": fmt.Sprint(i)}
		all = append(all, d)
	}
	f.index(f.blob(ispec.MediaTypeImageIndex, mustJSON(t, ispec.Index{Manifests: all})))
	_, err := publishIndex(t, t.TempDir(), "all", namedSource{f.dir, ""})
	if err == nil || !strings.Contains(err.Error(), "more than 1000 images") {
		t.Errorf("AddIndex: %v; want an error", err)
	}
}

// TestReachableBomb checks that a layout with such indexes can be written to.
func TestReachableBomb(t *testing.T) {
	f := newForeign(t)
	d := bomb(f, 9, 30)
	f.index(d)
	e, err := openEngine(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	live, err := reachable(t.Context(), e, []ispec.Descriptor{d})
	if want := 9 + 3; len(live) != want || err != nil {
		t.Errorf("it reaches %d blobs, %v; want %d", len(live), err, want)
	}
}
