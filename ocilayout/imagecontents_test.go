package ocilayout

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestContents checks that Contents returns the files of a layer under the names that the tree of the image uses,
// and ends with an error if the layer differs from the config.
func TestContents(t *testing.T) {
	b, tree, err := readTree(t, TreeOptions{}, []string{"f a one", "d d", "l l -> a", "x d/b two"}, []string{"h c -> a", "w d/b", "f d/e three"})
	if err != nil {
		t.Fatal(err)
	}
	contents := func(layer int) (all []string, err error) {
		for e, err := range b.Contents(t.Context(), layer) {
			if err != nil {
				return all, err
			}
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(r)
			if err != nil {
				return all, err
			}
			all = append(all, e.Path+" "+string(content))
		}
		return all, nil
	}
	for layer, want := range [][]string{{"a one", "d/b two"}, {"d/e three"}} {
		if got, err := contents(layer); err != nil || !slices.Equal(got, want) {
			t.Errorf("layer %d: %q, %v; want %q", layer, got, err, want)
		}
	}
	if e, ok := tree.Lower.Lookup("c"); !ok || e.Layer != 0 || e.Source != "a" {
		t.Errorf("a hard link is %+v; its content is that of a", e)
	}
	for range b.Contents(t.Context(), 0) {
		break // stopping early is no error
	}
	name := filepath.Join(b.Layers[0].Dir, blobs, b.Layers[0].Descriptor.Digest.Encoded())
	damaged := gzipped(t, foreignTar(t, "f a other"))
	if err := os.WriteFile(name, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := contents(0); err == nil {
		t.Errorf("of another blob: %q, <nil>; want an error", got)
	}
}
