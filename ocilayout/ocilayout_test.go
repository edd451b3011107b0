package ocilayout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// part makes a part of entries, which must be in path order.
func part(root string, entries ...rootfs.Entry) rootfs.Part {
	p := rootfs.Part{Name: filepath.Base(root), Root: root}
	if root == "" {
		p.Name = "base"
	}
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s %v %s", e.Path, e.Mode, e.Target)
		if e.Open != nil {
			r, err := e.Open()
			if err == nil {
				_, _ = io.Copy(h, r)
				r.Close()
			}
		}
		p.Size += e.Size
	}
	p.Key = fmt.Sprintf("sha256:%x", h.Sum(nil))
	p.Tree = func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
	return p
}

func file(path, content string) rootfs.Entry {
	return rootfs.File(path, 0o444, int64(len(content)), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	})
}

// text returns n bytes that compress about like programs, the same for the same seed.
func text(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		switch r.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "%d,", r.IntN(1000))
		case 1:
			b.WriteString(strings.Repeat("\x00", r.IntN(40)))
		default:
			b.WriteString(fmt.Sprintf("symbol_%x@", r.Uint32N(1<<16)))
		}
	}
	return b.String()[:n]
}

// sample returns the parts of a small closure with base files.
// Generation numbers the changes that come with a release.
func sample(generation int) []rootfs.Part {
	const store = "nix/store/"
	lib := part(store+"1111-lib",
		rootfs.Dir(store+"1111-lib", 0o555),
		file(store+"1111-lib/data", text(1, 30<<10)),
		rootfs.Link(store+"1111-lib/link", strings.Repeat("long/", 40)+"target"),
		file(store+"1111-lib/na\xefve", "not UTF-8"))
	app := part(store+"2222-app",
		rootfs.Dir(store+"2222-app", 0o555),
		rootfs.Dir(store+"2222-app/bin", 0o555),
		rootfs.File(store+"2222-app/bin/app", 0o555, 4, func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("#!sh")), nil
		}))
	big := part(fmt.Sprintf("%s3333-big-%d", store, generation),
		file(fmt.Sprintf("%s3333-big-%d", store, generation), text(uint64(generation), 50<<10)))
	big.Size = 2 << 20 // plan it as if it were large
	profile := part(store+"4444-profile",
		rootfs.Dir(store+"4444-profile", 0o555),
		rootfs.Link(store+"4444-profile/bin", "/"+store+"2222-app/bin"))
	app.Refs = []string{lib.Root}
	profile.Refs = []string{app.Root, big.Root}
	base := part("",
		rootfs.Dir("etc", 0o755),
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
		rootfs.Dir("nix", 0o755),
		rootfs.Dir("nix/store", 0o755),
		rootfs.Dir("run", 0o755),
		rootfs.Link("run/profile", "/"+profile.Root),
		rootfs.Dir("tmp", fs.ModeSticky|0o777))
	base.Refs = []string{profile.Root}
	return []rootfs.Part{lib, app, big, profile, base}
}

// sampleImage returns an image of the sample, uncompressed for speed.
func sampleImage(t *testing.T, generation int) ImageSpec {
	t.Helper()
	layers, err := Plan(sample(generation), plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ImageSpec{
		Config:   ispec.ImageConfig{Env: []string{"PATH=/run/profile/bin"}, Labels: map[string]string{"b": "<2>", "a": "1"}},
		Platform: linux,
		Layers:   layers,

		Compression: method("none"),
	}
}

// linux is the platform of the tests' images.
var linux = ispec.Platform{OS: "linux", Architecture: "amd64"}

// write makes an image visible in a layout.
func write(t *testing.T, dir string, image ImageSpec, names ...Name) ispec.Descriptor {
	t.Helper()
	d, err := writeErr(t.Context(), dir, image, Options{}, names...)
	if err == nil {
		err = runVerify(dir, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func writeErr(ctx context.Context, dir string, image ImageSpec, o Options, names ...Name) (d ispec.Descriptor, err error) {
	l, err := Open(ctx, dir, o)
	if err != nil {
		return d, err
	}
	defer func() {
		if closeErr := l.Close(); err == nil {
			err = closeErr
		}
	}()
	if d, err = l.AddImage(ctx, image); err != nil {
		return d, err
	}
	return d, l.Publish(ctx, d, names...)
}

// verify checks everything in a layout without the code under test:
// names, modes, sizes, digests and diffIDs, and that no blob is unneeded.
// It returns the digests by reference name.
func verify(t *testing.T, dir string) map[string]digest.Digest {
	t.Helper()
	found, err := verifyErr(dir, false)
	if err != nil {
		t.Errorf("layout %s: %v", dir, err)
	}
	return found
}

// runVerify checks a layout, or an archive with or without a manifest.json, with package verify.
var runVerify func(name string, docker bool) error

// VerifyWith sets runVerify. It is called by a test that may import package verify.
func VerifyWith(f func(name string, docker bool) error) bool {
	runVerify = f
	return true
}

func verifyErr(dir string, litter bool) (map[string]digest.Digest, error) {
	if err := runVerify(dir, false); err != nil {
		return nil, err
	}
	needed := map[string]bool{
		".": true, "blobs": true, "blobs/sha256": true, "index.json": true, "oci-layout": true,
	}
	read := func(d ispec.Descriptor) ([]byte, error) {
		name := "blobs/sha256/" + d.Digest.Encoded()
		needed[name] = true
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && (digest.FromBytes(b) != d.Digest || int64(len(b)) != d.Size) {
			err = fmt.Errorf("%s: has %d bytes and digest %s", name, len(b), digest.FromBytes(b))
		}
		return b, err
	}
	layout, err := os.ReadFile(filepath.Join(dir, "oci-layout"))
	if err != nil || strings.TrimSpace(string(layout)) != `{"imageLayoutVersion":"1.0.0"}` {
		return nil, fmt.Errorf("oci-layout: %q, %v", layout, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return nil, err
	}
	var index ispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, err
	}
	if index.SchemaVersion != 2 || index.MediaType != ispec.MediaTypeImageIndex {
		return nil, fmt.Errorf("index: %s", b)
	}
	refs := make(map[string]digest.Digest)
	for _, d := range index.Manifests {
		ref := d.Annotations[ispec.AnnotationRefName]
		if _, ok := refs[ref]; ok {
			return nil, fmt.Errorf("two of %q", ref)
		}
		refs[ref] = d.Digest
		if d.MediaType != ispec.MediaTypeImageManifest || d.Platform != nil {
			return nil, fmt.Errorf("descriptor %+v", d)
		}
		if err := verifyImage(d, read); err != nil {
			return nil, fmt.Errorf("%q: %w", ref, err)
		}
	}
	if litter {
		return refs, nil
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if !needed[name] {
			return fmt.Errorf("%q is not needed", name)
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
			return fmt.Errorf("%q has mode %v, want %v", name, fi.Mode(), want)
		}
		return nil
	})
	return refs, err
}

func verifyImage(d ispec.Descriptor, read func(ispec.Descriptor) ([]byte, error)) error {
	b, err := read(d)
	if err != nil {
		return err
	}
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	if m.SchemaVersion != 2 || m.MediaType != ispec.MediaTypeImageManifest || m.Config.MediaType != ispec.MediaTypeImageConfig {
		return fmt.Errorf("manifest: %s", b)
	}
	if b, err = read(m.Config); err != nil {
		return err
	}
	var config ispec.Image
	if err := json.Unmarshal(b, &config); err != nil {
		return err
	}
	if config.RootFS.Type != "layers" || config.RootFS.DiffIDs == nil || m.Layers == nil ||
		len(config.RootFS.DiffIDs) != len(m.Layers) || len(config.History) != len(m.Layers) {
		return fmt.Errorf("config: %s", b)
	}
	for i, l := range m.Layers {
		b, err := read(l)
		if err != nil {
			return err
		}
		if b, err = unpack(l.MediaType, b); err != nil {
			return err
		}
		if d := digest.FromBytes(b); d != config.RootFS.DiffIDs[i] {
			return fmt.Errorf("layer %d has diffID %s, want %s", i, d, config.RootFS.DiffIDs[i])
		}
		if _, err := history.Parse(config.History[i]); err != nil {
			return err
		}
	}
	return nil
}

func unpack(mediaType string, b []byte) ([]byte, error) {
	r, err := compress.NewReader(bytes.NewReader(b), mediaType)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// method parses a compression method.
func method(name string) compress.Method {
	m, err := compress.Parse(name)
	if err != nil {
		panic(err)
	}
	return m
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return all
}

// previousIn reads an image in a layout for planning.
func previousIn(ctx context.Context, dir, tag string) (*PreviousImage, error) {
	s, err := FindImage(ctx, dir, tag)
	if err != nil {
		return nil, err
	}
	return s.ReadPrevious(ctx)
}

func layerOf(parts ...rootfs.Part) Layer { return Layer{Parts: parts} }
