package ocilayout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

// TestReadPrevious checks how an image is found by name, and from which images nothing can be planned.
func TestReadPrevious(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	one := write(t, dir, sampleImage(t, 1), Name{Tag: "v1", Full: "docker.io/library/hello:v1"})
	read := func(tag string) (*PreviousImage, error) { return previousIn(t.Context(), dir, tag) }
	for _, tag := range []string{"", "v1", "docker.io/library/hello:v1"} {
		if p, err := read(tag); err != nil || p.Digest != one.Digest || len(p.Layers) != 3 {
			t.Errorf("ReadPrevious(%q) = %v, %v; want %s", tag, p, err, one.Digest)
		}
	}
	for _, tag := range []string{"v2", "hello:v1", "latest"} {
		if p, err := read(tag); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadPrevious(%q) = %v, %v; want %v", tag, p, err, fs.ErrNotExist)
		}
	}
	two := write(t, dir, sampleImage(t, 2), Name{Tag: "v2"})
	if p, err := read(""); err == nil {
		t.Errorf("ReadPrevious of one of two = %v, <nil>; want an error", p)
	}
	write(t, dir, sampleImage(t, 2), Name{Tag: "latest"})
	if p, err := read(""); err != nil || p.Digest != two.Digest {
		t.Errorf("ReadPrevious of latest = %v, %v; want %s", p, err, two.Digest)
	}
	if _, err := previousIn(t.Context(), filepath.Join(t.TempDir(), "nothing"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadPrevious of nothing: %v, want %v", err, fs.ErrNotExist)
	}

	// Add a layer of another program, as umoci would.
	manifest := readManifest(t, dir, one)
	config := readConfig(t, dir, one)
	e, err := openEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for name, change := range map[string]func(m *ispec.Manifest, c *ispec.Image){
		"a layer without history": func(m *ispec.Manifest, c *ispec.Image) { c.History = c.History[:2] },
		"a layer without diffID":  func(m *ispec.Manifest, c *ispec.Image) { c.RootFS.DiffIDs = c.RootFS.DiffIDs[:2] },
		"another program":         func(m *ispec.Manifest, c *ispec.Image) { c.History[1].CreatedBy = "umoci" },
		"an empty layer":          func(m *ispec.Manifest, c *ispec.Image) { c.History[1].EmptyLayer = true },
		"a damaged lowest layer":  func(m *ispec.Manifest, c *ispec.Image) { c.History[0].Comment = "?" },
		"another form":            func(m *ispec.Manifest, c *ispec.Image) { c.History[1].Comment = "store paths: [...]" },
		"another store directory": func(m *ispec.Manifest, c *ispec.Image) {
			c.History[0].Comment = "/gnu/store " + c.History[0].Comment
		},
		"another type of layer":  func(m *ispec.Manifest, c *ispec.Image) { m.Layers[0].MediaType = "application/x-other" },
		"another type of config": func(m *ispec.Manifest, c *ispec.Image) { m.Config.MediaType = "application/x-other" },
	} {
		m, c := manifest, config
		m.Layers = append([]ispec.Descriptor(nil), manifest.Layers...)
		c.History = append([]ispec.History(nil), config.History...)
		change(&m, &c)
		l := &Layout{engine: e}
		desc, err := l.addJSON(t.Context(), m.Config.MediaType, c)
		if err != nil {
			t.Fatal(err)
		}
		m.Config = desc
		if desc, err = l.addJSON(t.Context(), ispec.MediaTypeImageManifest, m); err != nil {
			t.Fatal(err)
		}
		desc.Annotations = map[string]string{ispec.AnnotationRefName: "changed"}
		if err := e.PutIndex(t.Context(), ispec.Index{Manifests: []ispec.Descriptor{desc}}); err != nil {
			t.Fatal(err)
		}
		if p, err := read(""); !errors.Is(err, history.ErrForeign) {
			t.Errorf("%s: ReadPrevious = %v, %v; want %v", name, p, err, history.ErrForeign)
		}
	}
	if err := e.PutIndex(t.Context(), ispec.Index{Manifests: []ispec.Descriptor{one}}); err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(dir, blobs, manifest.Layers[0].Digest.Encoded())
	if err := os.Truncate(blob, 10); err != nil {
		t.Fatal(err)
	}
	if p, err := read(""); err == nil || !strings.Contains(err.Error(), "has 10 bytes instead of") {
		t.Errorf("with a blob that was cut: ReadPrevious = %v, %v", p, err)
	}
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if p, err := read(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a blob: ReadPrevious = %v, %v; want %v", p, err, fs.ErrNotExist)
	}
}

// TestReuseDamaged checks that a blob that changes after planning is an error that says what to do.
func TestReuseDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 7) },
		"changed": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(path, b, 0o644)
		},
	} {
		dir := filepath.Join(t.TempDir(), "layout")
		write(t, dir, sampleImage(t, 1), Name{Tag: "v1"})
		previous, err := previousIn(t.Context(), dir, "v1")
		if err != nil {
			t.Fatal(err)
		}
		image := sampleImage(t, 1)
		if image.Layers, _, err = PlanSticky(sample(1), previous, plan.StickyOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(dir, blobs, previous.Layers[1].Descriptor.Digest.Encoded())); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "to")
		_, err = writeErr(t.Context(), to, image, Options{}, Name{Tag: "v1"})
		want := "reuse blob " + string(previous.Layers[1].Descriptor.Digest)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "; the image can be built without the previous one") {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
		if _, err := os.Lstat(to); err == nil {
			t.Errorf("%s: there is a layout", name)
		}
	}
}

func TestOthers(t *testing.T) {
	image := func(tag, full string) ispec.Descriptor {
		return ispec.Descriptor{Annotations: map[string]string{ispec.AnnotationRefName: tag, AnnotationFullName: full}}
	}
	many := make([]ispec.Descriptor, 12)
	for i := range many {
		many[i] = image(strconv.Itoa(i), "")
	}
	for want, all := range map[string][]ispec.Descriptor{
		"":                           {image("", "")},
		`, only ["v1" "x.org/y:v2"]`: {image("v1", "x.org/y:v1"), image("", "x.org/y:v2"), image("v1", "")},
		`, only ["0" "1" "2" "3" "4" "5" "6" "7" "8" "9"] and 2 more`: many,
	} {
		if got := others(all); got != want {
			t.Errorf("others(%v) = %q; want %q", all, got, want)
		}
	}
}
