package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compressions are all that there are; the first is the default.
var compressions = []string{"gzip", "none", "zstd"}

// The blobs are what their names say, for every compression, and the tars in them the same.
func TestImageCompressions(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	digests := make(map[string]string)
	for _, c := range compressions {
		digests[c] = p.export(t, dir, "image", "--profile", lab.profile, "--compression", c, "oci:layout:"+c)
	}
	l := wantLayout(t, filepath.Join(dir, "layout"), digests)
	first := l.tags[compressions[0]]
	for _, c := range compressions[1:] {
		if diff := cmp.Diff(first.config, l.tags[c].config); diff != "" {
			t.Errorf("config of %s (-%s +%s):\n%s", c, compressions[0], c, diff)
		}
	}
	if got := p.export(t, dir, "image", "--profile", lab.profile, "oci:default:"+compressions[0]); got != digests[compressions[0]] {
		t.Errorf("digest without --compression is %s; want that of %s, %s", got, compressions[0], digests[compressions[0]])
	}
}

// All layers together are at most a tenth larger than the closure:
// each store object is in the image once.
func TestImageSize(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	digest := p.export(t, dir, "image", "--profile", lab.profile, "--compression", "none", "oci:layout:v1")
	l := wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v1": digest})
	if size := l.tags["v1"].size; float64(size) > 1.1*float64(lab.narSize) || size < lab.narSize/2 {
		t.Errorf("layers have %d bytes together; want at most 1.1 times the closure's %d", size, lab.narSize)
	}
}

// Everybody may read a layout, whatever the umask.
func TestImageModes(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	do(t, in("umask 077", p.command(dir, lab.program, "image", "--profile", lab.profile, "--digest-file", "digest", "oci:layout:v1")))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if d.IsDir() {
			want = fs.ModeDir | 0o755
		}
		if fi.Mode() != want {
			t.Errorf("mode of %q is %v; want %v", path, fi.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "digest"))
	if err != nil {
		t.Fatal(err)
	}
	wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v1": string(b[:max(0, len(b)-1)])})
}

// A tag that is replaced takes its blobs with it; the other tags stay.
func TestImageReplace(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	small := p.export(t, dir, "image", "--from", goldenExport(t, dir), "oci:layout:small")
	p.export(t, dir, "image", "--profile", lab.profile, "oci:layout:big")
	l, err := readLayout(filepath.Join(dir, "layout"))
	if err != nil {
		t.Fatal(err)
	}
	big := len(l.files)
	p.export(t, dir, "image", "--from", goldenExport(t, dir), "oci:layout:big")
	l = wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"small": small, "big": small})
	if len(l.files) >= big || !slices.Contains(l.files, blobName(l.tags["small"].manifest.Config)) {
		t.Errorf("layout has the files %q; want fewer than %d", l.files, big)
	}
}

// goldenExport is an export stream of a small closure, for a test's directory.
func goldenExport(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(lab.repo, "testdata/basic.nix-export"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "basic.nix-export")
	writeFile(t, name, string(b))
	return name
}
