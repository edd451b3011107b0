package ocilayout

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestAddImageStops checks that the first error stops the other layers, even within an endless file, and is the one returned.
func TestAddImageStops(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	begun := make(chan bool, 1)
	endless := rootfs.File("nix/store/endless", 0o444, 1<<40, func() (io.ReadCloser, error) {
		begun <- true
		return io.NopCloser(zeroReader{}), nil
	})
	broken := errors.New("broken")
	failing := rootfs.File("nix/store/failing", 0o444, 1, func() (io.ReadCloser, error) {
		<-begun
		return nil, broken
	})
	a, b := part("nix/store/endless"), part("nix/store/failing")
	a.Tree, b.Tree = treeOf(endless), treeOf(failing)
	a.Size = 1 << 40

	dir := filepath.Join(t.TempDir(), "layout")
	l, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	_, err = l.AddImage(t.Context(), ImageSpec{Platform: linux, Layers: []Layer{layerOf(a), layerOf(b)}})
	if want := `write layer of failing: read "nix/store/failing": broken`; !errors.Is(err, broken) || err.Error() != want {
		t.Errorf("AddImage: %v; want %s", err, want)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("AddImage took %v to stop", d)
	}
}

// TestAddImageErrors checks that errors name the object.
func TestAddImageErrors(t *testing.T) {
	shrunk := file("nix/store/b-shrunk", "abc")
	shrunk.Size = 4
	whiteout := part("nix/store/c-whiteout", rootfs.Dir("nix/store/c-whiteout", 0o555), file("nix/store/c-whiteout/.wh.x", ""))
	early := part("nix/store/d-late", file("nix/store/c-elsewhere", ""))
	fine := part("nix/store/a-fine", file("nix/store/a-fine", "content"))
	odd := fine
	odd.Name = "not a name"
	for _, test := range []struct {
		layer Layer
		want  string
	}{
		{layerOf(fine, part("nix/store/b-shrunk", shrunk)), `write layer of a-fine and 1 more: read "nix/store/b-shrunk": changed while it was read: 3 bytes of 4`},
		{layerOf(whiteout), `write layer of c-whiteout: write "nix/store/c-whiteout/.wh.x": a name that begins with .wh.`},
		{layerOf(early), `write layer of d-late: d-late: entry "nix/store/c-elsewhere": not within "nix/store/d-late"`},
		{layerOf(fine, fine), `write layer of a-fine and 1 more: a-fine: "nix/store/a-fine": file already exists`},
		{layerOf(odd), `add image: history of "not a name@`},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		_, err := writeErr(t.Context(), dir, ImageSpec{Platform: linux, Layers: []Layer{test.layer}}, Options{}, Name{Tag: "v1"})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("AddImage: %v; want %s", err, test.want)
		}
		if got := names(t, filepath.Dir(dir)); len(got) > 0 {
			t.Errorf("after an error there is %q", got)
		}
	}
	if _, err := writeErr(t.Context(), filepath.Join(t.TempDir(), "x"), ImageSpec{Platform: linux, Layers: make([]Layer, 121)}, Options{}, Name{Tag: "v1"}); err == nil {
		t.Error("AddImage with 121 layers: <nil>; want an error")
	}
	for _, p := range []ispec.Platform{{}, {OS: "linux"}, {Architecture: "amd64"}} {
		_, err := writeErr(t.Context(), filepath.Join(t.TempDir(), "x"), ImageSpec{Platform: p}, Options{}, Name{Tag: "v1"})
		if err == nil || !strings.HasPrefix(err.Error(), "add image: platform") {
			t.Errorf("AddImage for %+v: %v; want an error about the platform", p, err)
		}
	}
}

// TestProgress checks that progress adds up to the size of all files before compression.
func TestProgress(t *testing.T) {
	image := sampleImage(t, 1)
	var want int64
	for _, l := range image.Layers {
		for e, err := range rootfs.Join(l.Parts) {
			if err != nil {
				t.Fatal(err)
			}
			want += e.Size
		}
	}
	for _, s := range []string{"none", "gzip", "zstd"} {
		var err error
		if image.Compression, err = compress.Parse(s); err != nil {
			t.Fatal(err)
		}
		var got atomic.Int64
		o := Options{Progress: func(n int64) { got.Add(n) }}
		if _, err := writeErr(t.Context(), filepath.Join(t.TempDir(), "x"), image, o, Name{Tag: "v1"}); err != nil {
			t.Fatal(err)
		}
		if got.Load() != want {
			t.Errorf("%s: progress is %d bytes, want %d", s, got.Load(), want)
		}
	}
}
