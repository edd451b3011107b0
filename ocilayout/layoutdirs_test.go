package ocilayout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPublishOthersLinks checks that the owner of a layout cannot redirect the files of another user's run.
func TestPublishOthersLinks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs files of two users")
	}
	const nobody = 65534
	for _, link := range []string{"blobs", blobs} {
		for _, tt := range []struct {
			name         string
			layout, link int // owners
			ok           bool
		}{
			{"own layout and link", 0, 0, true},
			{"layout and link of another user", nobody, nobody, false},
			{"link of another user", 0, nobody, false},
			{"own link in the layout of another user", nobody, 0, false},
		} {
			dir, other := filepath.Join(t.TempDir(), "layout"), t.TempDir()
			write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
			path := filepath.Join(dir, link)
			target := filepath.Join(other, "target")
			if err := errors.Join(os.Rename(path, target), os.Symlink(target, path), os.Lchown(path, tt.link, tt.link),
				os.Chown(filepath.Dir(path), tt.layout, tt.layout), os.Chown(dir, tt.layout, tt.layout)); err != nil {
				t.Fatal(err)
			}
			before, outside := listing(t, dir), listing(t, other)
			_, err := writeErr(t.Context(), dir, sampleImage(t, 2), Options{}, Name{Tag: "v2"})
			if (err == nil) != tt.ok {
				t.Errorf("%s is a link, %s: %v; want success: %v", link, tt.name, err, tt.ok)
			}
			if tt.ok {
				continue
			}
			if d := cmp.Diff(outside, listing(t, other)); d != "" {
				t.Errorf("%s is a link, %s: files change where it leads to (-before +after):\n%s", link, tt.name, d)
			}
			if d := cmp.Diff(before, listing(t, dir)); d != "" {
				t.Errorf("%s is a link, %s: files change (-before +after):\n%s", link, tt.name, d)
			}
		}
	}
}
