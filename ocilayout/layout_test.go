package ocilayout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/rootfs"
)

// TestPublish publishes into a missing directory, an empty one and a layout.
func TestPublish(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "layout")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	one := write(t, dir, sampleImage(t, 1), Name{Tag: "v1", Full: "docker.io/library/hello:v1"})
	if d := write(t, empty, sampleImage(t, 1), Name{Tag: "v1"}); d.Digest != one.Digest {
		t.Errorf("in an empty directory the digest is %s, want %s", d.Digest, one.Digest)
	}
	verify(t, empty)
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + one.Digest.String() + `","size":`
	if err != nil || !strings.HasPrefix(string(b), want) ||
		!strings.Contains(string(b), `"annotations":{"io.containerd.image.name":"docker.io/library/hello:v1","org.opencontainers.image.ref.name":"v1"}}]}`) {
		t.Errorf("index.json = %s, %v; want %s…", b, err, want)
	}

	two := write(t, dir, sampleImage(t, 2), Name{Tag: "v2"}, Name{Tag: "latest"})
	if got := verify(t, dir); !cmp.Equal(got, map[string]digest.Digest{"v1": one.Digest, "v2": two.Digest, "latest": two.Digest}) {
		t.Errorf("after a second image: %v", got)
	}
	// Publishing the same image again changes nothing.
	before, _ := os.ReadFile(filepath.Join(dir, "index.json"))
	write(t, dir, sampleImage(t, 2), Name{Tag: "v2"})
	after, _ := os.ReadFile(filepath.Join(dir, "index.json"))
	if string(before) != string(after) {
		t.Errorf("the same image again makes the index\n%s of\n%s", after, before)
	}
	// The blobs of the replaced image alone are gone; verify checks that.
	write(t, dir, sampleImage(t, 3), Name{Tag: "v1"})
	three := write(t, dir, sampleImage(t, 3), Name{Tag: "v2"}, Name{Tag: "latest"})
	if got := verify(t, dir); !cmp.Equal(got, map[string]digest.Digest{"v1": three.Digest, "v2": three.Digest, "latest": three.Digest}) {
		t.Errorf("after all are replaced: %v", got)
	}
	if got := names(t, parent); !cmp.Equal(got, []string{"layout"}) {
		t.Errorf("beside the layout there is %q", got)
	}
}

// TestPublishThroughLinks checks that DIR, or a directory above it, may be a symbolic link.
func TestPublishThroughLinks(t *testing.T) {
	target := filepath.Join(t.TempDir(), "real")
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(target, 0o755), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(link, "new"), sampleImage(t, 1), Name{Tag: "a"})
	verify(t, filepath.Join(target, "new"))
	if err := os.RemoveAll(filepath.Join(target, "new")); err != nil {
		t.Fatal(err)
	}
	write(t, link, sampleImage(t, 1), Name{Tag: "a"})
	verify(t, target)
	t.Chdir(target)
	write(t, ".", sampleImage(t, 2), Name{Tag: "a"})
	verify(t, target)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"file":                       "content",
		"other/file":                 "content",
		"version/oci-layout":         `{"imageLayoutVersion":"2.0.0"}`,
		"version/index.json":         `{}`,
		"version/blobs/x":            "",
		"noindex/oci-layout":         `{"imageLayoutVersion":"1.0.0"}`,
		"noindex/blobs/sha256/x":     "",
		"badindex/oci-layout":        `{"imageLayoutVersion":"1.0.0"}`,
		"badindex/index.json":        `{"manifests":`,
		"badindex/blobs/sha256/x":    "",
		"hidden/.image.other/x":      "",
		"noblobs/oci-layout":         `{"imageLayoutVersion":"1.0.0"}`,
		"noblobs/index.json":         `{"manifests":[]}`,
		"badlayout/oci-layout":       `1.0.0`,
		"badlayout/index.json":       `{"manifests":[]}`,
		"badlayout/blobs/sha256/000": ``,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	for name, want := range map[string]error{
		"file": fs.ErrExist, "other": fs.ErrExist, "version": fs.ErrExist, "noindex": fs.ErrExist, "badindex": fs.ErrExist,
		"hidden": fs.ErrExist, "noblobs": fs.ErrExist, "badlayout": fs.ErrExist,
		"dangling": fs.ErrNotExist, "missing/layout": fs.ErrNotExist, "file/layout": nil,
	} {
		l, err := Open(t.Context(), filepath.Join(dir, name), Options{})
		if err == nil || want != nil && !errors.Is(err, want) || !strings.HasPrefix(err.Error(), `open layout "`+filepath.Join(dir, name)+`": `) {
			t.Errorf("Open(%q) = %v, %v; want %v", name, l, err, want)
		}
	}
	if d := cmp.Diff(before, listing(t, dir)); d != "" {
		t.Errorf("a refused Open changes files (-before +after):\n%s", d)
	}
}

// listing returns all paths in a directory with their contents.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		all[name] = d.Type().String()
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			all[name] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestClose checks that without Publish, and after any error, everything is as it was before Open.
func TestClose(t *testing.T) {
	broken := errors.New("broken")
	bad := sampleImage(t, 2)
	bad.Layers = append(bad.Layers[:len(bad.Layers):len(bad.Layers)], layerOf(part("nix/store/x-bad", rootfs.File("nix/store/x-bad", 0o444, 3, nil))))
	bad.Layers[len(bad.Layers)-1].Parts[0].Tree = func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, broken) }
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	good := sampleImage(t, 2)

	parent := t.TempDir()
	if err := os.Mkdir(filepath.Join(parent, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(parent, "layout"), sampleImage(t, 1), Name{Tag: "v1"})
	before := listing(t, parent)
	for _, dir := range []string{"new", "empty", "layout"} {
		for _, test := range []struct {
			name string
			run  func(l *Layout) error
			want error
		}{
			{"close", func(*Layout) error { return nil }, nil},
			{"add", func(l *Layout) error { _, err := l.AddImage(t.Context(), good); return err }, nil},
			{"bad", func(l *Layout) error { _, err := l.AddImage(t.Context(), bad); return err }, broken},
			{"cancelled", func(l *Layout) error { _, err := l.AddImage(cancelled, good); return err }, broken},
			{"publish cancelled", func(l *Layout) error {
				d, err := l.AddImage(t.Context(), good)
				return errors.Join(err, l.Publish(cancelled, d, Name{Tag: "v1"}))
			}, broken},
			{"publish something else", func(l *Layout) error {
				d := ispec.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}
				return l.Publish(t.Context(), d, Name{Tag: "v1"})
			}, fs.ErrNotExist},
		} {
			l, err := Open(t.Context(), filepath.Join(parent, dir), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := test.run(l); !errors.Is(err, test.want) {
				t.Errorf("%s, %s: %v; want %v", dir, test.name, err, test.want)
			}
			if err := l.Close(); err != nil {
				t.Errorf("%s, %s: close: %v", dir, test.name, err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("%s, %s: close again: %v", dir, test.name, err)
			}
			if d := cmp.Diff(before, listing(t, parent)); d != "" {
				t.Errorf("%s, %s: files change (-before +after):\n%s", dir, test.name, d)
			}
		}
	}
	l, err := Open(t.Context(), filepath.Join(parent, "layout"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = l.AddImage(t.Context(), bad)
	if err == nil || err.Error() != "write layer of x-bad: x-bad: broken" {
		t.Errorf("AddImage: %v; want the part's name", err)
	}
}

// TestPublishKeeps checks that nothing is deleted if the needs of other images are uncertain,
// and that other images stay as they are.
func TestPublishKeeps(t *testing.T) {
	for name, spoil := range map[string]func(index string) string{
		"docker manifest": func(index string) string {
			return strings.Replace(index, `"manifests":[`, `"manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json",`+
				`"digest":"`+digest.FromString("docker").String()+`","size":6},`, 1)
		},
		"missing": func(index string) string {
			return strings.Replace(index, `"manifests":[`, `"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
				`"digest":"`+digest.FromString("missing").String()+`","size":7,"annotations":{"x":"y"}},`, 1)
		},
		"no digest": func(index string) string {
			return strings.Replace(index, `"manifests":[`, `"manifests":[{},`, 1)
		},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
		old := names(t, filepath.Join(dir, blobs))
		b, err := os.ReadFile(indexPath(dir))
		if err != nil {
			t.Fatal(err)
		}
		spoiled := spoil(string(b))
		if err := os.WriteFile(indexPath(dir), []byte(spoiled), 0o644); err != nil {
			t.Fatal(err)
		}
		two, err := writeErr(t.Context(), dir, sampleImage(t, 2), Options{}, Name{Tag: "v1"})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range old {
			if _, err := os.Stat(filepath.Join(dir, blobs, b)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		b, err = os.ReadFile(indexPath(dir))
		at := strings.Index(spoiled, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:`)
		if name == "missing" {
			at = strings.LastIndex(spoiled, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:`)
		}
		if err != nil || !strings.HasPrefix(string(b), spoiled[:at]) || !strings.Contains(string(b), two.Digest.String()) {
			t.Errorf("%s: index = %s, %v; want %s and %s", name, b, err, spoiled[:at], two.Digest)
		}
	}

	// A damaged image that is itself replaced is no obstacle.
	dir := filepath.Join(t.TempDir(), "layout")
	one := write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
	if err := os.WriteFile(filepath.Join(dir, blobs, one.Digest.Encoded()), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
	verify(t, dir) // the layout is complete again

	// Linked directories of blobs may belong to several layouts.
	dir = filepath.Join(t.TempDir(), "layout")
	shared := t.TempDir()
	write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
	if err := errors.Join(os.Rename(filepath.Join(dir, "blobs"), filepath.Join(shared, "blobs")),
		os.Symlink(filepath.Join(shared, "blobs"), filepath.Join(dir, "blobs"))); err != nil {
		t.Fatal(err)
	}
	old := names(t, filepath.Join(dir, blobs))
	write(t, dir, sampleImage(t, 2), Name{Tag: "v1"})
	if got := names(t, filepath.Join(dir, blobs)); len(got) <= len(old) {
		t.Errorf("of shared blobs %d are left", len(got))
	}
}

// TestPublishFails checks that if blobs or the index cannot be moved to their places, the old image stays, and nothing else.
func TestPublishFails(t *testing.T) {
	for name, block := range map[string]func(t *testing.T, dir string, layers []string) string{
		"blob": func(t *testing.T, dir string, layers []string) string {
			return filepath.Join(dir, blobs, layers[0]) // a directory, not empty, in the place of a blob
		},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
		other := filepath.Join(t.TempDir(), "layout")
		write(t, other, sampleImage(t, 2), Name{Tag: "v1"})
		var added []string
		have := names(t, filepath.Join(dir, blobs))
		for _, b := range names(t, filepath.Join(other, blobs)) {
			if !strings.Contains(strings.Join(have, " "), b) {
				added = append(added, b)
			}
		}
		if err := os.MkdirAll(filepath.Join(block(t, dir, added), "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		_, err := writeErr(t.Context(), dir, sampleImage(t, 2), Options{}, Name{Tag: "v1"})
		if err == nil {
			t.Errorf("%s: published", name)
		}
		if d := cmp.Diff(before, listing(t, dir)); d != "" {
			t.Errorf("%s: files change (-before +after):\n%s", name, d)
		}
	}
}

// TestPublishTogether lets runs publish into one directory at the same time, whatever it is at first.
func TestPublishTogether(t *testing.T) {
	for _, start := range []string{"new", "empty", "layout"} {
		dir := filepath.Join(t.TempDir(), "layout")
		switch start {
		case "empty":
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		case "layout":
			write(t, dir, sampleImage(t, 9), Name{Tag: "same"})
		}
		var runs sync.WaitGroup
		tags := []string{"a", "b", "same", "same"}
		begin := make(chan struct{})
		digests := make([]digest.Digest, len(tags))
		for i, tag := range tags {
			image := sampleImage(t, i)
			runs.Go(func() {
				l, err := Open(t.Context(), dir, Options{Sync: i == 0})
				if err != nil {
					t.Errorf("%s, %s: %v", start, tag, err)
					return
				}
				defer l.Close()
				d, err := l.AddImage(t.Context(), image)
				if err == nil {
					<-begin
					err = l.Publish(t.Context(), d, Name{Tag: tag})
				}
				if err != nil {
					t.Errorf("%s, %s: %v", start, tag, err)
				}
				digests[i] = d.Digest
			})
		}
		close(begin)
		runs.Wait()
		got := verify(t, dir)
		if len(got) != 3 || got["a"] != digests[0] || got["b"] != digests[1] || got["same"] != digests[2] && got["same"] != digests[3] {
			t.Errorf("%s: the layout has %v", start, got)
		}
		if got := names(t, filepath.Dir(dir)); !cmp.Equal(got, []string{"layout"}) {
			t.Errorf("%s: beside the layout there is %q", start, got)
		}
	}
}

func TestPublishOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	l, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := l.AddImage(t.Context(), sampleImage(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddImage(t.Context(), sampleImage(t, 2)); err != nil { // never published, so it must not appear
		t.Fatal(err)
	}
	if err := l.Publish(t.Context(), d); err == nil {
		t.Error("Publish without a name: <nil>; want an error")
	}
	if err := l.Publish(t.Context(), d, Name{Tag: "v1"}); err != nil {
		t.Error(err)
	}
	if err := l.Publish(t.Context(), d, Name{Tag: "v1"}); err == nil {
		t.Error("Publish again: <nil>; want an error")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	verify(t, dir)
}
