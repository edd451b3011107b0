package ocilayout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestFindArchive checks that an image in an archive can be a base image and join an index, with the digests that it has in a layout.
func TestFindArchive(t *testing.T) {
	root := t.TempDir()
	b, _ := stream(t, sampleImage(t, 1), []Name{hello}, Options{})
	write(t, filepath.Join(root, "one"), sampleImage(t, 1), hello)
	a, err := openArchive(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Find("v2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find(v2) = %v; want %v", err, fs.ErrNotExist)
	}
	archived, err := a.Find("v1")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := FindImage(t.Context(), filepath.Join(root, "one"), "v1")
	if err != nil {
		t.Fatal(err)
	}
	over := func(s *ImageSource) ispec.Descriptor {
		base, err := s.Read(t.Context(), ispec.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := base.Tree(t.Context(), TreeOptions{}); err != nil {
			t.Fatal(err)
		}
		image := sampleImage(t, 2)
		image.Base = base
		dir := filepath.Join(t.TempDir(), "over")
		d := write(t, dir, image, Name{Tag: "v1"})
		verify(t, dir)
		return d
	}
	if one, two := over(archived), over(stored); one.Digest != two.Digest {
		t.Errorf("over an archive it is %s, and %s over a layout", one.Digest, two.Digest)
	}

	// The archive of an index has the layout's blobs, and one descriptor at the top.
	arm := sampleImage(t, 1)
	arm.Platform.Architecture = "arm64"
	write(t, filepath.Join(root, "arm"), arm, Name{Tag: "v1"})
	other, err := FindImage(t.Context(), filepath.Join(root, "arm"), "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenTemporary(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j, err := l.AddIndex(t.Context(), []*ImageSource{archived, other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := l.WriteArchive(t.Context(), &out, j.Descriptor, []Name{hello, {Tag: "v2", Full: "docker.io/library/hello:v2"}}); err != nil {
		t.Fatal(err)
	}
	if a, err = openArchive(t, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	f, err := a.File("index.json", false)
	if err != nil {
		t.Fatal(err)
	}
	var index ispec.Index
	if err := json.NewDecoder(f).Decode(&index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != j.Descriptor.Digest || index.Manifests[0].MediaType != ispec.MediaTypeImageIndex {
		t.Errorf("index.json has %+v; want the index alone", index.Manifests)
	}
	again, err := a.Find("")
	if err != nil {
		t.Fatal(err)
	}
	l2, err := Open(t.Context(), filepath.Join(root, "again"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	two, err := l2.AddIndex(t.Context(), []*ImageSource{again}, nil)
	if err != nil || two.Descriptor.Digest != j.Descriptor.Digest {
		t.Errorf("the archive's index is %s, %v; want %s", two.Descriptor.Digest, err, j.Descriptor.Digest)
	}
}
