package ocilayout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/plan"
)

// TestAddBlobLinked checks that blobs of another layout are shared if possible,
// and copied if another user may write them.
func TestAddBlobLinked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	want := write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
	for _, tt := range []struct {
		name string
		mode os.FileMode
		link bool
	}{{"shared", 0o644, true}, {"own", 0o600, false}} {
		previous, err := previousIn(t.Context(), dir, "v1")
		if err != nil {
			t.Fatal(err)
		}
		image := sampleImage(t, 1)
		if image.Layers, _, err = PlanSticky(sample(1), previous, plan.StickyOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, l := range previous.Layers {
			if err := os.Chmod(l.path(), tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		to := filepath.Join(t.TempDir(), "to")
		if got := write(t, to, image, Name{Tag: "v1"}); got.Digest != want.Digest {
			t.Errorf("%s: the image is %s; want %s", tt.name, got.Digest, want.Digest)
		}
		verify(t, to)
		for _, l := range previous.Layers {
			name := filepath.Join(to, blobs, l.Descriptor.Digest.Encoded())
			one, err := os.Stat(l.path())
			if err != nil {
				t.Fatal(err)
			}
			two, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if two.Mode() != 0o644 {
				t.Errorf("%s: mode of %q is %v", tt.name, name, two.Mode())
			}
			if linked := os.SameFile(one, two); linked != tt.link && (!tt.link || !clones(t, l.path())) {
				t.Errorf("%s: %q is the file of the other layout: %v; want %v", tt.name, name, linked, tt.link)
			}
		}
	}
}

// clones reports whether the file system can clone a file.
func clones(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Create(name + ".clone")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return cloneFile(f, name) == nil
}
