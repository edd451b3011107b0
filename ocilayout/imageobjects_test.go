package ocilayout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// sampleObjects returns the visible objects of the sample, with all digits of their hashes or the first ones.
func sampleObjects(image ImageSpec, digits int) []VisibleObject {
	visible := make(map[string]VisibleObject)
	for i, l := range image.Layers {
		for _, p := range l.Parts {
			if p.Root == "" {
				continue
			}
			h := VisibleObject{history.Object{Name: p.Name, Hash: strings.TrimPrefix(p.Key, "sha256:")[:digits], Size: p.Size}, i}
			if digits == 64 {
				h.Size = 0
			}
			visible[p.Name] = h
		}
	}
	return sortObjects(visible)
}

// TestVisibleObjects reads images of this program in a layout and in archives, by their histories and by their layers.
func TestVisibleObjects(t *testing.T) {
	image := sampleImage(t, 1)
	dir := t.TempDir()
	d := write(t, filepath.Join(dir, "layout"), image, hello)
	both, _ := stream(t, image, []Name{hello}, Options{})
	oci, docker := without(t, both, "manifest.json"), without(t, both, "oci-layout", "index.json")
	for name, b := range map[string][]byte{"both.tar": both, "oci.tar": oci, "docker.tar": docker, "short.tar": oci[:len(oci)-2000]} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{"layout", "both.tar", "oci.tar"} {
		b, err := readImage(t.Context(), filepath.Join(dir, at), "docker.io/library/hello:v1", ispec.Platform{})
		if at != "layout" {
			var c io.Closer
			if b, c, err = readArchive(t.Context(), filepath.Join(dir, at), "docker.io/library/hello:v1", ispec.Platform{}); err == nil {
				defer c.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Digest != d.Digest {
			t.Errorf("%s has the image %s; want %s", at, b.Digest, d.Digest)
		}
		objects, foreign := b.VisibleObjects()
		if diff := cmp.Diff(sampleObjects(image, 12), objects); diff != "" || foreign != 0 {
			t.Errorf("%s by its history, %d foreign layers (-want +got):\n%s", at, foreign, diff)
		}
		tree, err := b.Tree(t.Context(), TreeOptions{Hash: partHash})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sampleObjects(image, 64), tree.VisibleObjects()); diff != "" {
			t.Errorf("%s by its layers (-want +got):\n%s", at, diff)
		}
		for _, h := range objects {
			for _, p := range image.Layers[h.Layer].Parts {
				if p.Name != h.Name {
					continue
				}
				if hex, _, err := partHash(b.Object(t.Context(), h.Layer, h.Name), p.Root); err != nil || "sha256:"+hex != p.Key {
					t.Errorf("%s: Object(%q) is %s, %v; want %s", at, h.Name, hex, err, p.Key)
				}
			}
		}
		if fetched, had := b.Fetch(b); fetched != 0 || had == 0 {
			t.Errorf("%s: a holder of it fetches %d and has %d bytes", at, fetched, had)
		}
		if fetched, had := (&Image{}).Fetch(b); had != 0 || fetched != b.Size()+b.Manifest.Size+b.ConfigBlob.Size {
			t.Errorf("%s: a holder of nothing fetches %d and has %d bytes", at, fetched, had)
		}
	}
	for _, tt := range []struct {
		name, tag string
		is        error
	}{
		{"docker.tar", "", ErrNoLayout},
		{"oci.tar", "v2", fs.ErrNotExist},
		{"none.tar", "", fs.ErrNotExist},
		{"short.tar", "", io.ErrUnexpectedEOF},
		{"layout", "", nil},
	} {
		_, _, err := readArchive(t.Context(), filepath.Join(dir, tt.name), tt.tag, ispec.Platform{})
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("readArchive(%q, %q) = %v; want %v", tt.name, tt.tag, err, tt.is)
		}
	}
}

// TestReadArchiveDamaged changes each byte of the small files of an archive in turn, and some bytes of the layers.
func TestReadArchiveDamaged(t *testing.T) {
	image := sampleImage(t, 1)
	b, _ := stream(t, image, []Name{hello}, Options{})
	b = without(t, b, "manifest.json")
	name := filepath.Join(t.TempDir(), "damaged.tar")
	for at := 0; at < len(b); at += 1 + at/20 {
		damaged := bytes.Clone(b)
		damaged[at] ^= 0x10
		if err := os.WriteFile(name, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		i, c, err := readArchive(t.Context(), name, "", ispec.Platform{})
		if err != nil {
			continue
		}
		if tree, err := i.Tree(t.Context(), TreeOptions{Hash: partHash}); err == nil {
			if diff := cmp.Diff(sampleObjects(image, 64), tree.VisibleObjects()); diff != "" {
				t.Errorf("with byte %d changed (-want +got):\n%s", at, diff)
			}
		}
		c.Close()
	}
}

// TestVisibleObjectsHidden checks that an object hidden by a later layer is not visible, and that one that returns is.
func TestVisibleObjectsHidden(t *testing.T) {
	parts := sample(1)
	image := sampleImage(t, 1)
	image.Layers = []Layer{
		layerOf(parts[0]), layerOf(parts[1]), {Parts: []rootfs.Part{parts[3]}, Hidden: []string{parts[0].Root, parts[1].Root}}, layerOf(parts[0]),
	}
	dir := filepath.Join(t.TempDir(), "layout")
	write(t, dir, image, hello)
	b, err := readImage(t.Context(), dir, "v1", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := b.VisibleObjects()
	tree, err := b.Tree(t.Context(), TreeOptions{Hash: partHash})
	if err != nil {
		t.Fatal(err)
	}
	const want = "1111-lib in 3, 4444-profile in 2, "
	for by, held := range map[string][]VisibleObject{"history": objects, "layers": tree.VisibleObjects()} {
		got := ""
		for _, h := range held {
			got += fmt.Sprintf("%s in %d, ", h.Name, h.Layer)
		}
		if got != want {
			t.Errorf("by its %s: %q; want %q", by, got, want)
		}
	}
}

// TestVisibleObjectsForeign checks that layers of other programs must be read, and that objects spread over several layers have no hash.
func TestVisibleObjectsForeign(t *testing.T) {
	b, tree, err := readTree(t, TreeOptions{Hash: partHash},
		[]string{"d nix/store", "f nix/store/1-a text", "d nix/store/2-b", "f nix/store/2-b/x 1", "h nix/store/3-c -> nix/store/1-a"},
		[]string{"f nix/store/2-b/y 2"})
	if err != nil {
		t.Fatal(err)
	}
	if objects, foreign := b.VisibleObjects(); len(objects) != 0 || foreign != 2 {
		t.Errorf("VisibleObjects() = %v, %d; want nothing, 2", objects, foreign)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "nix/store/1-a %v text", fs.FileMode(0o444))
	want := []VisibleObject{{history.Object{Name: "1-a", Hash: fmt.Sprintf("%x", sum.Sum(nil))}, 0}, {history.Object{Name: "2-b"}, 0}, {history.Object{Name: "3-c"}, 0}}
	if diff := cmp.Diff(want, tree.VisibleObjects()); diff != "" {
		t.Errorf("by its layers (-want +got):\n%s", diff)
	}
	for _, err := range b.Object(t.Context(), 0, "3-c") {
		if err == nil || !strings.Contains(err.Error(), "not a file of its own") {
			t.Errorf("Object of a hard link: %v", err)
		}
	}
}

// FuzzReadArchive checks that any file is either an error or an image whose objects can be listed.
func FuzzReadArchive(f *testing.F) {
	f.Add([]byte{})
	f.Add(foreignTar(f, "f index.json {}", "d blobs"))
	f.Add(foreignTar(f, `f index.json {"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}`,
		"f blobs/sha256/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a {}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		image, c, err := readArchive(t.Context(), name, "", ispec.Platform{})
		if err != nil {
			if image != nil || c != nil {
				t.Errorf("an image with the error %v", err)
			}
			return
		}
		defer c.Close()
		objects, _ := image.VisibleObjects()
		for _, h := range objects {
			for range image.Object(t.Context(), h.Layer, h.Name) {
				continue
			}
		}
	})
}

func readImage(ctx context.Context, dir, tag string, platform ispec.Platform) (*Image, error) {
	s, err := FindImage(ctx, dir, tag)
	if err != nil {
		return nil, err
	}
	return s.Read(ctx, platform)
}

// readArchive is readImage for an archive. The caller closes the archive.
func readArchive(ctx context.Context, file, tag string, platform ispec.Platform) (_ *Image, _ io.Closer, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	a, err := OpenArchiveFile(ctx, file, f, fi.Size())
	if err != nil {
		return nil, nil, err
	}
	s, err := a.Find(tag)
	if err != nil {
		return nil, nil, err
	}
	b, err := s.Read(ctx, platform)
	if err != nil {
		return nil, nil, err
	}
	return b, f, nil
}
