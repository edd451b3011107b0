package ocilayout

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// delivery records the blobs that a layout delivers.
type delivery struct {
	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	order []digest.Digest
}

func (d *delivery) deliver(ctx context.Context, b Blob) error {
	r, err := b.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.blobs == nil {
		d.blobs = make(map[digest.Digest][]byte)
	}
	d.blobs[b.Digest] = content
	d.order = append(d.order, b.Digest)
	return nil
}

// TestDeliver checks that every blob is delivered once and complete, the config last, with a cache and with a previous image, too;
// that Manifest returns the manifest; and that nothing is left behind.
func TestDeliver(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	dir := filepath.Join(t.TempDir(), "layout")
	want := write(t, dir, image, Name{Tag: "v1"})
	manifest := readManifest(t, dir, want)
	previous, err := previousIn(t.Context(), dir, "v1")
	if err != nil {
		t.Fatal(err)
	}
	layers, _, err := PlanSticky(sample(1), previous, plan.StickyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept := image
	kept.Layers = layers
	cache := testCache(t, filepath.Join(t.TempDir(), "cache"))
	for _, tt := range []struct {
		name  string
		image ImageSpec
		cache *Cache
	}{{"built", image, nil}, {"kept in the cache", image, cache}, {"cached", unwalked(t, image), cache}, {"kept", unwalked(t, kept), nil}} {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			var got delivery
			l, err := OpenStaged(parent, Options{Cache: tt.cache, Deliver: got.deliver})
			if err != nil {
				t.Fatal(err)
			}
			d, err := l.AddImage(t.Context(), tt.image)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := l.Manifest(d); err != nil || digest.FromBytes(b) != want.Digest {
				t.Errorf("Manifest = %s, %v; want %s", b, err, want.Digest)
			}
			if fetched, had := l.LastImage().Fetch(previous); fetched != 0 || had == 0 {
				t.Errorf("LastImage().Fetch of the same = %d, %d; want 0 and all", fetched, had)
			}
			for _, m := range append(manifest.Layers, manifest.Config) {
				if b := got.blobs[m.Digest]; digest.FromBytes(b) != m.Digest || int64(len(b)) != m.Size {
					t.Errorf("blob %s: %d bytes of %s", m.Digest, len(b), digest.FromBytes(b))
				}
			}
			if n := len(manifest.Layers) + 1; len(got.order) != n || got.order[n-1] != manifest.Config.Digest {
				t.Errorf("delivered %q; want %d blobs, the config last", got.order, n)
			}
			if err := l.Publish(t.Context(), d, Name{Tag: "v1"}); err == nil {
				t.Error("Publish of an image without a layout = <nil>; want an error")
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if left := names(t, parent); len(left) > 0 {
				t.Errorf("Close left %q", left)
			}
		})
	}
}

// TestDeliverEarly checks that a layer is delivered while another one is being built, and that a failed delivery ends the build.
func TestDeliverEarly(t *testing.T) {
	first, second := part("nix/store/1111-a", file("nix/store/1111-a", text(1, 1<<20))), part("nix/store/2222-b")
	begun := make(chan struct{})
	second.Tree = func(yield func(rootfs.Entry, error) bool) {
		select {
		case <-begun:
		case <-time.After(time.Minute):
			yield(rootfs.Entry{}, errors.New("nothing was delivered meanwhile"))
			return
		}
		yield(file("nix/store/2222-b", "b"), nil)
	}
	image := ImageSpec{Platform: linux, Layers: []Layer{layerOf(second), layerOf(first)}}
	lost := errors.New("lost")
	for _, want := range []error{nil, lost} {
		begun = make(chan struct{})
		var once sync.Once
		l, err := OpenStaged(t.TempDir(), Options{Deliver: func(ctx context.Context, b Blob) error {
			once.Do(func() { close(begun) })
			return want
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AddImage(t.Context(), image); !errors.Is(err, want) {
			t.Errorf("AddImage = %v; want %v", err, want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOpenStagedCleans checks that the litter of killed runs is removed, but not the directories of living ones.
func TestOpenStagedCleans(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "new", "cache")
	alive, err := OpenStaged(parent, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	dead := filepath.Join(parent, "."+pushName+".export-profile-dead")
	if err := os.MkdirAll(filepath.Join(dead, "layout"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := OpenStaged(parent, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := names(t, parent); len(got) != 2 {
		t.Errorf("there are %q; want two living ones", got)
	}
}
