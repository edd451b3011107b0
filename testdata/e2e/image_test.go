package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compressions lists all compressions of layers; the first is the default.
var compressions = []string{"gzip", "none", "zstd", "zstd:chunked"}

// archiveCompressions lists the compressions that a kind of archive can hold: "oci-archive:" or "docker-archive:".
func archiveCompressions(transport string) []string {
	if transport == "docker-archive:" { // has no annotations, which locate the tables
		return slices.DeleteFunc(slices.Clone(compressions), func(c string) bool { return c == "zstd:chunked" })
	}
	return compressions
}

// tagOf returns a tag for the image of a compression.
func tagOf(compression string) string { return strings.ReplaceAll(compression, ":", "-") }

// TestImageCompressions checks that all compressions contain the same tars, and that blobs match their names.
func TestImageCompressions(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	digests := make(map[string]string)
	for _, c := range compressions {
		digests[tagOf(c)] = p.export(t, dir, "image", "--profile", lab.profile, "--compression", c, "oci:layout:"+tagOf(c))
	}
	l := wantLayout(t, filepath.Join(dir, "layout"), digests)
	first := l.tags[compressions[0]]
	for _, c := range compressions[1:] {
		if diff := cmp.Diff(first.config, l.tags[tagOf(c)].config); diff != "" {
			t.Errorf("config of %s (-%s +%s):\n%s", c, compressions[0], c, diff)
		}
	}
	if got := p.export(t, dir, "image", "--profile", lab.profile, "oci:default:"+compressions[0]); got != digests[compressions[0]] {
		t.Errorf("digest without --compression is %s; want %s's, %s", got, compressions[0], digests[compressions[0]])
	}
}

// TestImageSize checks that all layers together are at most a tenth larger than the closure:
// the image contains each store object once.
func TestImageSize(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	digest := p.export(t, dir, "image", "--profile", lab.profile, "--compression", "none", "oci:layout:v1")
	l := wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v1": digest})
	if size := l.tags["v1"].size; float64(size) > 1.1*float64(lab.narSize) || size < lab.narSize/2 {
		t.Errorf("layers have %d bytes together; want at most 1.1 times the closure's %d", size, lab.narSize)
	}
}

// TestImageModes checks that all users may read a layout, regardless of the umask.
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
	wantLayout(t, filepath.Join(dir, "layout"), map[string]string{"v1": string(b)})
}

// TestImageReplace checks that replacing a tag removes its old blobs, but not those of other tags.
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

// goldenExport copies the export stream of a small closure into a test's directory.
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
