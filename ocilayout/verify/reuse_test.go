package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// hashListing hashes the listing of a tree.
func hashListing(t rootfs.Tree, root string) (string, int64, error) {
	s, n, err := listing(t, root)
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), n, err
}

// storePart returns the part of a store object.
func storePart(t *testing.T, name string, entries ...rootfs.Entry) rootfs.Part {
	t.Helper()
	root := "nix/store/" + name
	tree := rootfs.TreeOf(append([]rootfs.Entry{rootfs.Dir(root, 0o555)}, entries...))
	key, size, err := hashListing(tree, root)
	if err != nil {
		t.Fatal(err)
	}
	return rootfs.Part{Name: name, Key: "sha256:" + key, Root: root, Size: size, Tree: tree}
}

// previousOf writes an image of a part, and returns it with the blob of its only layer.
func previousOf(t *testing.T, part rootfs.Part, z compress.Method) (*ocilayout.PreviousImage, []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	l, err := ocilayout.Open(t.Context(), dir, ocilayout.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	layers, err := ocilayout.Plan([]rootfs.Part{part}, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.AddImage(t.Context(), ocilayout.ImageSpec{Layers: layers, Compression: z, Platform: ispec.Platform{OS: "linux", Architecture: "amd64"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), d, ocilayout.Name{Tag: "v1"}); err != nil {
		t.Fatal(err)
	}
	source, err := ocilayout.FindImage(t.Context(), dir, "v1")
	if err != nil {
		t.Fatal(err)
	}
	previous, err := source.ReadPrevious(t.Context())
	if err != nil || len(previous.Layers) != 1 {
		t.Fatalf("%v, %v; want one layer", previous, err)
	}
	blob, err := os.ReadFile(filepath.Join(dir, "blobs/sha256", previous.Layers[0].Descriptor.Digest.Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	return previous, blob
}

// TestCheckReuse checks that CheckReuse finds every difference between a layer and its history,
// and compares all digits of a wanted key.
func TestCheckReuse(t *testing.T) {
	const root = "nix/store/a-1"
	content := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil }
	a := storePart(t, "a-1", rootfs.File(root+"/file", 0o444, 7, content), rootfs.Link(root+"/link", "file"))
	previous, blob := previousOf(t, a, compress.Method{})
	serve := func(s *ocilayout.BlobSource, b []byte, err error) {
		s.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), err }
	}
	changed := bytes.Clone(blob)
	changed[len(changed)/2] ^= 1
	other := strings.Replace(a.Key, a.Key[len(a.Key)-4:], "0000", 1)
	for _, tt := range []struct {
		name, want string
		wanted     string // the whole key
		change     func(s *ocilayout.BlobSource)
	}{
		{"valid", "", a.Key, func(*ocilayout.BlobSource) {}},
		{"valid, not in a layout", "", a.Key, func(s *ocilayout.BlobSource) { serve(s, blob, nil) }},
		{"not wanted", "", "", func(*ocilayout.BlobSource) {}},
		{"same first digits", "it was changed", other, func(*ocilayout.BlobSource) {}},
		{"wrong diffID", "once decompressed", a.Key, func(s *ocilayout.BlobSource) { s.DiffID = digest.FromString("x") }},
		{"wrong digest", "has the digest", a.Key, func(s *ocilayout.BlobSource) { serve(s, blob, nil); s.Descriptor.Digest = digest.FromString("x") }},
		{"wrong size", "its descriptor says", a.Key, func(s *ocilayout.BlobSource) { s.Descriptor.Size++ }},
		{"empty history", "does not list", a.Key, func(s *ocilayout.BlobSource) { s.Entry.Comment = "" }},
		{"object missing", "is missing, but the history", a.Key, func(s *ocilayout.BlobSource) { s.Entry.Comment += " b-1@123456789012:7" }},
		{"changed on purpose", "there is no hash to compare it with", a.Key, func(s *ocilayout.BlobSource) { s.Entry.Comment += ":changed" }},
		{"foreign history", "not made by this program", a.Key, func(s *ocilayout.BlobSource) { s.Entry.CreatedBy = "x" }},
		{"cut blob", "read layer", a.Key, func(s *ocilayout.BlobSource) { serve(s, blob[:len(blob)/2], nil) }},
		{"changed blob", "read layer", a.Key, func(s *ocilayout.BlobSource) { serve(s, changed, nil) }},
		{"missing blob", "is missing", a.Key, func(s *ocilayout.BlobSource) { serve(s, nil, fs.ErrNotExist) }},
		{"unreadable blob", "no way", a.Key, func(s *ocilayout.BlobSource) { serve(s, nil, errors.New("no way")) }},
	} {
		s := previous.Layers[0].BlobSource
		tt.change(&s)
		wanted := make(map[string]string)
		if tt.wanted != "" {
			wanted[a.Name] = tt.wanted
		}
		doubts, err := CheckReuse(t.Context(), []*ocilayout.BlobSource{&s}, wanted, Options{Hash: hashListing, maxProblems: 100})
		if err != nil || len(doubts) != 1 {
			t.Fatalf("%s: CheckReuse = %v, %v; want one result", tt.name, doubts, err)
		}
		if doubt := doubts[0]; tt.want == "" && doubt != nil || tt.want != "" && (doubt == nil || !strings.Contains(doubt.Error(), tt.want)) {
			t.Errorf("%s: doubt %v; want %q", tt.name, doubt, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CheckReuse(ctx, []*ocilayout.BlobSource{&previous.Layers[0].BlobSource}, nil, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("CheckReuse with a cancelled context = %v; want %v", err, context.Canceled)
	}
}

// TestCheckReuseTables checks that CheckReuse refuses a layer whose tables lie, although its tar is the one that the history describes.
func TestCheckReuseTables(t *testing.T) {
	const root = "nix/store/a-1"
	content := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("content")), nil }
	a := storePart(t, "a-1", rootfs.File(root+"/file", 0o444, 7, content))
	z, err := compress.Parse("zstd:chunked")
	if err != nil {
		t.Fatal(err)
	}
	previous, blob := previousOf(t, a, z)
	honest := previous.Layers[0].BlobSource
	tables, err := chunked.ParseAnnotations(honest.Descriptor.Annotations, honest.Descriptor.Size)
	if err != nil || tables == (chunked.Location{}) {
		t.Fatalf("ParseAnnotations(%v) = %v, %v; want tables", honest.Descriptor.Annotations, tables, err)
	}
	lying, lyingTables := lie(t, blob, tables, func(toc string) string {
		return strings.ReplaceAll(toc, digest.FromString("content").String(), digest.FromString("another").String())
	})
	source := func(blob []byte, annotations map[string]string) *ocilayout.BlobSource {
		s := honest
		s.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil }
		s.Descriptor.Digest, s.Descriptor.Size, s.Descriptor.Annotations = digest.FromBytes(blob), int64(len(blob)), annotations
		return &s
	}
	doubts, err := CheckReuse(t.Context(), []*ocilayout.BlobSource{
		&honest, source(blob, tables.Annotations()), source(lying, lyingTables.Annotations()), source(lying, nil),
	}, map[string]string{a.Name: a.Key}, Options{Hash: hashListing})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", `"nix/store/a-1/file": in the TOC: has the digest`, ""} {
		if doubt := doubts[i]; want == "" && doubt != nil || want != "" && (doubt == nil || !strings.Contains(doubt.Error(), want)) {
			t.Errorf("layer %d: doubt %v; want %q", i, doubt, want)
		}
	}
}
