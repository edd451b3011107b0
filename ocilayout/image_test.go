package ocilayout

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// foreignTar returns a layer of another program. Lines are "d DIR", "f FILE CONTENT", "x PROGRAM CONTENT",
// "l LINK -> TARGET", "h HARDLINK -> TARGET", "c DEVICE", "w HIDDEN" and "o OPAQUE".
func foreignTar(t testing.TB, lines ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		name, target, _ := strings.Cut(rest, " -> ")
		h := tar.Header{Name: name, Mode: 0o755, Linkname: target, Typeflag: map[string]byte{
			"d": tar.TypeDir, "f": tar.TypeReg, "x": tar.TypeReg, "l": tar.TypeSymlink, "h": tar.TypeLink,
			"c": tar.TypeChar, "w": tar.TypeReg, "o": tar.TypeReg,
		}[kind]}
		content := ""
		switch kind {
		case "f", "x":
			h.Name, content, _ = strings.Cut(rest, " ")
			if kind == "f" {
				h.Mode = 0o644
			}
		case "w":
			dir, base := filepath.Split(name)
			h.Name = dir + ".wh." + base
		case "o":
			h.Name = name + "/.wh..wh..opq"
		}
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// foreign writes images like those of other programs into a layout.
type foreign struct {
	t   *testing.T
	dir string
}

func (f foreign) blob(mediaType string, b []byte) ispec.Descriptor {
	f.t.Helper()
	d := ispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err := os.MkdirAll(filepath.Join(f.dir, blobs), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, blobs, d.Digest.Encoded()), b, 0o644); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// image writes an image of gzipped layers, with types of OCI or of Docker.
func (f foreign) image(docker bool, config ispec.Image, layers ...[]string) ispec.Descriptor {
	f.t.Helper()
	types := []string{ispec.MediaTypeImageManifest, ispec.MediaTypeImageConfig, ispec.MediaTypeImageLayerGzip}
	if docker {
		types = []string{DockerImageType, DockerConfigType, "application/vnd.docker.image.rootfs.diff.tar.gzip"}
	}
	m := ispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: types[0]}
	if config.OS == "" {
		config.Platform = ispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	config.RootFS = ispec.RootFS{Type: "layers"}
	for _, lines := range layers {
		b := foreignTar(f.t, lines...)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(b))
		m.Layers = append(m.Layers, f.blob(types[2], gzipped(f.t, b)))
	}
	m.Config = f.blob(types[1], mustJSON(f.t, config))
	return f.blob(types[0], mustJSON(f.t, m))
}

func (f foreign) index(all ...ispec.Descriptor) {
	f.t.Helper()
	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: all}
	for name, b := range map[string][]byte{"index.json": mustJSON(f.t, index), "oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)} {
		if err := os.WriteFile(filepath.Join(f.dir, name), b, 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func newForeign(t *testing.T) foreign { return foreign{t, filepath.Join(t.TempDir(), "foreign")} }

// readTree returns an image of these layers, and its files.
func readTree(t *testing.T, o TreeOptions, layers ...[]string) (*Image, *ImageTree, error) {
	t.Helper()
	f := newForeign(t)
	f.index(f.image(false, ispec.Image{}, layers...))
	b, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := b.Tree(t.Context(), o)
	return b, tree, err
}

// partHash returns the key that part gives to a tree.
func partHash(t rootfs.Tree, root string) (string, int64, error) {
	h, n := sha256.New(), int64(0)
	for e, err := range t {
		if err != nil {
			return "", 0, err
		}
		mode := e.Mode
		switch {
		case e.IsDir():
			mode = fs.ModeDir | 0o555
		case e.IsRegular() && mode&0o100 != 0:
			mode = 0o555
		case e.IsRegular():
			mode = 0o444
		}
		fmt.Fprintf(h, "%s %v %s", e.Path, mode, e.Target)
		if e.Open == nil {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return "", 0, err
		}
		m, err := io.Copy(h, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return "", 0, err
		}
		n += m
	}
	return fmt.Sprintf("%x", h.Sum(nil)), n, nil
}

func TestTree(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers [][]string
		want   string // paths, each with its layer
		err    string
	}{
		{name: "plain", layers: [][]string{{"d ./", "d ./etc/", "f ./etc/a x", "f etc/b x"}}, want: "etc@0 etc/a@0 etc/b@0"},
		{name: "absolute names", layers: [][]string{{"d /etc", "f /etc/a x"}}, want: "etc@0 etc/a@0"},
		{name: "without parents", layers: [][]string{{"f a/b/c x"}}, want: "a@0 a/b@0 a/b/c@0"},
		{name: "over", layers: [][]string{{"d a", "f a/f x", "f a/g x"}, {"d a", "f a/f y"}}, want: "a@1 a/f@1 a/g@0"},
		{name: "whiteout", layers: [][]string{{"d a", "f a/f x", "d a/d", "f a/d/f x"}, {"w a/d", "w a/none"}}, want: "a@0 a/f@0"},
		{name: "whiteout behind a file of the same name", layers: [][]string{{"f a x"}, {"f a y", "w a"}}, want: "a@1"},
		{name: "opaque", layers: [][]string{{"d a", "f a/f x", "f a/g x"}, {"d a", "f a/f y", "o a"}}, want: "a@1 a/f@1"},
		{name: "opaque root", layers: [][]string{{"f a x"}, {"f .wh..wh..opq ", "f b x"}}, want: "b@1"},
		{name: "aufs", layers: [][]string{{"d .wh..wh.plnk", "f a x"}}, want: "a@0"},
		{name: "link to a directory", layers: [][]string{{"d usr", "d usr/bin", "l bin -> usr/bin"}, {"f bin/sh x"}}, want: "bin@0 usr@0 usr/bin@0 usr/bin/sh@1"},
		{name: "whiteout through a link", layers: [][]string{{"d usr", "f usr/f x", "l u -> usr"}, {"w u/f"}}, want: "u@0 usr@0"},
		{name: "directory in the place of a link", layers: [][]string{{"d usr", "l u -> usr"}, {"d u", "f u/f x"}}, want: "u@1 u/f@1 usr@0"},
		{name: "file in the place of a directory", layers: [][]string{{"d a", "f a/f x"}, {"f a x"}}, want: "a@1"},
		{name: "hard links", layers: [][]string{{"f a x", "h b -> a", "h c -> ./b"}, {"h d -> a"}}, want: "a@0 b@0 c@0 d@0"},
		{name: "device", layers: [][]string{{"c dev/null"}}, want: "dev@0 dev/null@0"},
		{name: "hard link to nothing", layers: [][]string{{"h a -> b"}}, err: `"a" is a hard link to "b", which is not there`},
		{name: "up", layers: [][]string{{"f ../a x"}}, err: `"../a" in the layer: name ".."`},
		{name: "below a file", layers: [][]string{{"f a x"}, {"f a/b x"}}, err: `"/a" is not a directory`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, tree, err := readTree(t, TreeOptions{Hash: partHash}, test.layers...)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Tree: %v; want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for e := range tree.Lower.Within("") {
				got = append(got, fmt.Sprintf("%s@%d", e.Path, e.Layer))
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("the files are %s; want %s", s, test.want)
			}
		})
	}
}

// TestTreeRead checks that a file of the image can be read, also under another of its names.
func TestTreeRead(t *testing.T) {
	_, tree, err := readTree(t, TreeOptions{}, []string{"f a one", "f b two"}, []string{"f b three", "h c -> b"}, []string{"f x x"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"a": "one", "b": "three", "c": "three"} {
		e, err := tree.Lower.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := tree.Lower.Read(e, 10); string(b) != want || err != nil {
			t.Errorf("Read(%q) = %q, %v; want %q", path, b, err, want)
		}
		if b, err := tree.Lower.Read(e, 2); err == nil {
			t.Errorf("Read(%q) of at most 2 bytes = %q, <nil>; want an error", path, b)
		}
	}
}

// TestTreeFacts checks that known layers are not read again, and that facts of damaged layers are ignored.
func TestTreeFacts(t *testing.T) {
	f := newForeign(t)
	f.index(f.image(false, ispec.Image{}, []string{"f a x"}, []string{"f b x"}))
	b, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	open := b.open
	var opened atomic.Int32
	b.open = func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		opened.Add(1)
		return open(ctx, d)
	}
	facts := &rootfs.Facts{Dir: t.TempDir()}
	var keys [2]string
	for i := range keys {
		tree, err := b.Tree(t.Context(), TreeOptions{Facts: facts, Hash: partHash})
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = tree.Lower.Key
		if got := len(tree.StoreNames()); got != 0 {
			t.Errorf("%d names in the store", got)
		}
	}
	if opened.Load() != 2 || keys[0] != keys[1] {
		t.Errorf("layers were opened %d times, keys %v; want 2 times, and equal keys", opened.Load(), keys)
	}

	name := filepath.Join(f.dir, blobs, b.Layers[1].Descriptor.Digest.Encoded())
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func([]byte) []byte{
		"a byte behind it": func(b []byte) []byte { return append(b, 0) },
		"another content":  func([]byte) []byte { return gzipped(t, foreignTar(t, "f b y")) },
		"cut":              func(b []byte) []byte { return b[:len(b)-9] },
	} {
		if err := os.WriteFile(name, damage(bytes.Clone(raw)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Tree(t.Context(), TreeOptions{Hash: partHash}); err == nil {
			t.Errorf("%s: Tree: <nil>; want an error", what)
		}
	}
}

// TestTreeWithout checks that an object counts as present if its files are, in any order; its name alone proves nothing.
func TestTreeWithout(t *testing.T) {
	dir := func(p string) rootfs.Entry { return rootfs.Dir(p, 0o555) }
	o := part("nix/store/o", dir("nix/store/o"), dir("nix/store/o/a"), file("nix/store/o/a/f", "one"), file("nix/store/o/a-b", "two"),
		rootfs.Link("nix/store/o/l", "a"))
	keyless := o
	keyless.Key = ""
	single := part("nix/store/s", file("nix/store/s", "single"))
	inOrder := []string{"d nix/store/o", "d nix/store/o/a", "f nix/store/o/a/f one", "f nix/store/o/a-b two", "l nix/store/o/l -> a"}
	for _, test := range []struct {
		name   string
		layers [][]string
		part   rootfs.Part
		want   string // there, missing or other
	}{
		{"nothing", [][]string{{"d etc"}}, o, "missing"},
		{"in order", [][]string{inOrder}, o, "there"},
		{"in order, without a key", [][]string{inOrder}, keyless, "there"},
		{"as strings are sorted", [][]string{{"d nix/store/o", "d nix/store/o/a", "f nix/store/o/a-b two", "f nix/store/o/a/f one", "l nix/store/o/l -> a"}}, o, "there"},
		{"with a hard link", [][]string{{"f x one", "d nix/store/o", "d nix/store/o/a", "h nix/store/o/a/f -> x", "f nix/store/o/a-b two", "l nix/store/o/l -> a"}}, o, "other"}, // the content of x is not known
		{"with a hard link to another object", [][]string{{"f nix/store/x one", "d nix/store/o", "d nix/store/o/a", "h nix/store/o/a/f -> nix/store/x", "f nix/store/o/a-b two", "l nix/store/o/l -> a"}}, o, "there"},
		{"in two layers", [][]string{inOrder[:3], inOrder[3:]}, o, "there"},
		{"twice", [][]string{inOrder, inOrder}, o, "there"},
		{"interrupted", [][]string{{"d nix/store/o", "d nix/store/o/a", "f nix/store/x x", "f nix/store/o/a/f one", "f nix/store/o/a-b two", "l nix/store/o/l -> a"}}, o, "there"},
		{"hidden", [][]string{inOrder, {"w nix/store/o"}}, o, "missing"},
		{"the store is hidden", [][]string{inOrder, {"o nix"}}, o, "missing"},
		{"a file more", [][]string{inOrder, {"f nix/store/o/z x"}}, o, "other"},
		{"a file less", [][]string{inOrder, {"w nix/store/o/l"}}, o, "other"},
		{"a file changed", [][]string{inOrder, {"f nix/store/o/a-b TWO"}}, o, "other"},
		{"a file changed in the same layer", [][]string{append(inOrder[:3:3], "f nix/store/o/a-b TWO", inOrder[4])}, o, "other"},
		{"a program", [][]string{append(inOrder[:3:3], "x nix/store/o/a-b two", inOrder[4])}, o, "other"},
		{"another target", [][]string{append(inOrder[:4:4], "l nix/store/o/l -> b")}, o, "other"},
		{"empty", [][]string{{"d nix/store/o"}}, o, "other"},
		{"single file", [][]string{{"f nix/store/s single"}}, single, "there"},
		{"another single file", [][]string{{"f nix/store/s other"}}, single, "other"},
		{"a device", [][]string{{"c nix/store/s"}}, single, "other"},
	} {
		_, tree, err := readTree(t, TreeOptions{Hash: partHash}, test.layers...)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		base := part("", file("etc", "x"))
		rest, err := tree.Without([]rootfs.Part{test.part, base})
		got := "missing"
		var other *OtherObjectsError
		switch {
		case errors.As(err, &other):
			got = "other"
		case err != nil:
			t.Errorf("%s: Without: %v", test.name, err)
		case len(rest) == 1:
			got = "there"
		}
		if got != test.want {
			t.Errorf("%s: the object is %s; want %s", test.name, got, test.want)
		}
	}
	// If a layer has the object in order and its hash matches, the part is not read.
	_, tree, err := readTree(t, TreeOptions{Hash: partHash}, inOrder)
	if err != nil {
		t.Fatal(err)
	}
	unread := o
	unread.Tree = func(func(rootfs.Entry, error) bool) { t.Error("the part was walked") }
	if rest, err := tree.Without([]rootfs.Part{unread}); len(rest) != 0 || err != nil {
		t.Errorf("Without = %d parts, %v; want none", len(rest), err)
	}
}

// imageIn reads an image in a layout.
func imageIn(ctx context.Context, dir, tag string, platform ispec.Platform) (*Image, error) {
	s, err := FindImage(ctx, dir, tag)
	if err != nil {
		return nil, err
	}
	return s.Read(ctx, platform)
}

func TestReadImage(t *testing.T) {
	f := newForeign(t)
	amd64, arm64 := ispec.Platform{OS: "linux", Architecture: "amd64"}, ispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	one := f.image(false, ispec.Image{Platform: amd64, History: []ispec.History{{CreatedBy: "a"}, {EmptyLayer: true}}}, []string{"f a x"})
	two := f.image(true, ispec.Image{Platform: arm64}, []string{"f b x"})
	named := func(d ispec.Descriptor, tag string, p *ispec.Platform) ispec.Descriptor {
		d.Platform = p
		if tag != "" {
			d.Annotations = map[string]string{ispec.AnnotationRefName: tag}
		}
		return d
	}
	list := f.blob(DockerListType, mustJSON(t, ispec.Index{MediaType: DockerListType,
		Manifests: []ispec.Descriptor{named(one, "", &amd64), named(two, "", &arm64)}}))
	lie := f.blob(ispec.MediaTypeImageIndex, mustJSON(t, ispec.Index{Manifests: []ispec.Descriptor{named(one, "", &arm64)}}))
	artifact := f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{Config: f.blob("application/x-other", []byte("{}"))}))
	encrypted := f.blob(ispec.MediaTypeImageManifest, mustJSON(t, ispec.Manifest{
		Config: f.blob(ispec.MediaTypeImageConfig, mustJSON(t, ispec.Image{Platform: amd64, RootFS: ispec.RootFS{DiffIDs: []digest.Digest{one.Digest}}})),
		Layers: []ispec.Descriptor{f.blob(ispec.MediaTypeImageLayerGzip+"+encrypted", []byte("x"))}}))
	mixed := f.image(false, ispec.Image{Platform: amd64, History: []ispec.History{{CreatedBy: "export-profile", Comment: "/gnu/store a:1"}, {CreatedBy: "export-profile", Comment: "b:1"}}},
		[]string{"f a x"}, []string{"f b x"})
	f.index(named(mixed, "mixed", nil), named(one, "one", nil), named(two, "two", nil), named(list, "list", nil), named(lie, "lie", nil), named(artifact, "artifact", nil),
		named(encrypted, "encrypted", nil))
	for _, test := range []struct {
		tag      string
		platform ispec.Platform
		want     digest.Digest
		err      string
	}{
		{"one", ispec.Platform{}, one.Digest, ""},
		{"one", amd64, one.Digest, ""},
		{"two", ispec.Platform{OS: "linux", Architecture: "arm64"}, two.Digest, ""},
		{"two", arm64, two.Digest, ""},
		{"list", amd64, one.Digest, ""},
		{"list", arm64, two.Digest, ""},
		{"one", arm64, "", "it is for linux/amd64, and linux/arm64/v8 was asked for"},
		{"list", ispec.Platform{OS: "linux", Architecture: "s390x"}, "", "none of its images is for linux/s390x: they are for linux/amd64, linux/arm64/v8"},
		{"list", ispec.Platform{}, "", "it is for several platforms, and none was asked for"},
		{"lie", arm64, "", "it is for linux/amd64"},
		{"artifact", amd64, "", "it is not an image"},
		{"encrypted", amd64, "", `+encrypted", which cannot be used`},
		{"mixed", amd64, "", "layer 2 has the store directory /nix/store, but layer 1 has /gnu/store"},
		{"none", amd64, "", "there is no such image"},
	} {
		b, err := imageIn(t.Context(), f.dir, test.tag, test.platform)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Read(%q, %v): %v; want %s", test.tag, test.platform, err, test.err)
			}
		case err != nil || b.Digest != test.want || b.Layers[0].Descriptor.MediaType != ispec.MediaTypeImageLayerGzip:
			t.Errorf("Read(%q, %v) = %+v, %v; want %s", test.tag, test.platform, b, err, test.want)
		}
	}
	if b, err := imageIn(t.Context(), f.dir, "two", arm64); err != nil || len(b.Config.History) != 1 || b.Config.History[0].EmptyLayer {
		t.Errorf("without a history: %+v, %v; want one entry", b.Config.History, err)
	}
	if _, err := imageIn(t.Context(), t.TempDir(), "", amd64); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read of a missing image: %v; want %v", err, fs.ErrNotExist)
	}
	if err := os.Truncate(filepath.Join(f.dir, blobs, one.Digest.Encoded()), 30); err != nil {
		t.Fatal(err)
	}
	if _, err := imageIn(t.Context(), f.dir, "one", amd64); err == nil {
		t.Error("Read of a manifest that was cut: <nil>; want an error")
	}
}

func TestInherit(t *testing.T) {
	base := ispec.ImageConfig{
		User: "www", WorkingDir: "/srv", StopSignal: "SIGQUIT", Entrypoint: []string{"/entry"}, Cmd: []string{"serve"},
		Env:    []string{"PATH=/usr/bin:/bin", "LANG=C", "SSL_CERT_FILE=/theirs", "odd"},
		Labels: map[string]string{"a": "base", "b": "base"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, Volumes: map[string]struct{}{"/data": {}},
	}
	b := &Image{Config: ispec.Image{Config: base}}
	env, defaults := []string{"PATH=/run/profile/bin:/bin"}, []string{"NIX_SSL_CERT_FILE=/found", "SSL_CERT_FILE=/found"}

	got := b.Inherit(ispec.ImageConfig{}, env, defaults)
	want := base
	want.Env = []string{"PATH=/run/profile/bin:/bin:/usr/bin", "LANG=C", "SSL_CERT_FILE=/theirs", "NIX_SSL_CERT_FILE=/found"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Inherit with an empty config (-want +got):\n%s", d)
	}

	got = b.Inherit(ispec.ImageConfig{
		User: "1000:1000", WorkingDir: "/", StopSignal: "SIGTERM", Entrypoint: []string{"hello"}, Env: []string{"LANG=de", "PATH=/mine", "NEW=1"},
		Labels: map[string]string{"b": "own", "c": "own"}, ExposedPorts: map[string]struct{}{"81/tcp": {}}, Volumes: map[string]struct{}{"/v": {}},
	}, env, nil)
	want = ispec.ImageConfig{
		User: "1000:1000", WorkingDir: "/", StopSignal: "SIGTERM", Entrypoint: []string{"hello"},
		Env:          []string{"PATH=/mine", "LANG=de", "SSL_CERT_FILE=/theirs", "NEW=1"},
		Labels:       map[string]string{"a": "base", "b": "own", "c": "own"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "81/tcp": {}}, Volumes: map[string]struct{}{"/data": {}, "/v": {}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Inherit with a full config (-want +got):\n%s", d)
	}
	if got := b.Inherit(ispec.ImageConfig{Cmd: []string{"x"}}, nil, nil); got.Entrypoint[0] != "/entry" || got.Cmd[0] != "x" {
		t.Errorf("a command alone makes %q %q; want the base's entrypoint with it", got.Entrypoint, got.Cmd)
	}
	none := (&Image{}).Inherit(ispec.ImageConfig{}, env, nil)
	if none.Env[0] != env[0] || none.Labels != nil {
		t.Errorf("an empty base image makes %+v", none)
	}
}

// TestAddImageOverBase checks that the base's layers come first, byte for byte, with their history.
func TestAddImageOverBase(t *testing.T) {
	f := newForeign(t)
	f.index(f.image(true, ispec.Image{History: []ispec.History{{CreatedBy: "one"}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "two"}}},
		[]string{"f a x"}, []string{"f b x"}))
	base, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	image := sampleImage(t, 1)
	image.Base = base
	own := len(image.Layers)
	var digests [2]digest.Digest
	for i, dir := range []string{filepath.Join(t.TempDir(), "new"), f.dir} {
		desc := write(t, dir, image, Name{Tag: "over"})
		digests[i] = desc.Digest
		m, c := readManifest(t, dir, desc), readConfig(t, dir, desc)
		if len(m.Layers) != own+2 || m.Layers[0].Digest != base.Layers[0].Descriptor.Digest || m.Layers[0].MediaType != ispec.MediaTypeImageLayerGzip ||
			c.RootFS.DiffIDs[1] != base.Layers[1].DiffID {
			t.Errorf("the layers are %+v", m.Layers)
		}
		if len(c.History) != own+3 || !c.History[1].EmptyLayer || c.History[2].CreatedBy != "two" || c.History[3].CreatedBy != "export-profile" {
			t.Errorf("the history is %+v", c.History)
		}
		if p, err := previousIn(t.Context(), dir, "over"); err != nil || len(p.Layers) != own {
			t.Errorf("ReadPrevious = %v, %v; want the %d layers above the base's", p, err, own)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two destinations have the digests %v", digests)
	}

	for range plan.MaxLayers {
		base.Layers = append(base.Layers, base.Layers[0])
	}
	if _, err := writeErr(t.Context(), filepath.Join(t.TempDir(), "new"), image, Options{}, Name{Tag: "x"}); err == nil {
		t.Error("with more layers than can be mounted: <nil>; want an error")
	}
	if _, err := Plan(sample(1), plan.Options{MaxLayers: 5, BaseLayers: 5}); err == nil || !strings.Contains(err.Error(), "the base image has 5 already") {
		t.Errorf("Plan without room: %v", err)
	}
	if layers, err := Plan(sample(1), plan.Options{MaxLayers: 5, BaseLayers: 4}); err != nil || len(layers) != 1 {
		t.Errorf("Plan with room for one = %d layers, %v", len(layers), err)
	}

	base.Layers = base.Layers[:2]
	name := filepath.Join(f.dir, blobs, base.Layers[0].Descriptor.Digest.Encoded())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = writeErr(t.Context(), filepath.Join(t.TempDir(), "new"), image, Options{}, Name{Tag: "x"})
	if err == nil || !strings.Contains(err.Error(), "of the base image: its digest is") {
		t.Errorf("with a blob that has changed: %v", err)
	}
}

// TestArchiveOverBase checks that an archive includes the base's layers.
func TestArchiveOverBase(t *testing.T) {
	f := newForeign(t)
	f.index(f.image(false, ispec.Image{}, []string{"f a x"}))
	base, err := imageIn(t.Context(), f.dir, "", ispec.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	image := sampleImage(t, 1)
	image.Base = base
	want := write(t, filepath.Join(t.TempDir(), "layout"), image, Name{Tag: "v1"})
	b, _ := stream(t, image, []Name{hello}, Options{})
	dir := t.TempDir()
	unpackArchive(t, b, dir)
	if m := manifestOf(t, dir, want); m.Layers[0].Digest != base.Layers[0].Descriptor.Digest {
		t.Errorf("the archive's first layer is %s; want the base's", m.Layers[0].Digest)
	}
}

// TestPreviousWithout checks that objects of the base image are neither reused from a previous image nor hidden.
func TestPreviousWithout(t *testing.T) {
	p := &PreviousImage{Layers: []PreviousLayer{
		{History: history.Claim{Objects: []history.Object{{Name: "a"}, {Name: "b"}}}},
		{History: history.Claim{Objects: []history.Object{{Name: "c"}}, Hidden: []string{"d"}}},
		{History: history.Claim{Objects: []history.Object{{Name: "e"}}}},
	}}
	if got := p.Without([]string{"b", "d", "x"}); len(got.Layers) != 1 || got.Layers[0].History.Objects[0].Name != "e" || len(p.Layers) != 3 {
		t.Errorf("Without leaves %+v of %d", got.Layers, len(p.Layers))
	}
	var none *PreviousImage
	if none.Without(nil) != nil {
		t.Error("Without on a nil image is not nil")
	}
}

// FuzzTree checks that for any tar the paths stay within the image, and that no object is mistaken for another one.
func FuzzTree(f *testing.F) {
	f.Add(foreignTar(f, "d usr", "l bin -> usr", "f bin/x y", "h z -> bin/x", "w a", "o usr", "c dev"))
	f.Add(foreignTar(f, "d nix/store/o", "f nix/store/o/f x", "f nix/store/p y", "d nix/store/o/d"))
	f.Add(foreignTar(f, "f ../x y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := BlobSource{Descriptor: ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: digest.FromBytes(b), Size: int64(len(b))}, DiffID: digest.FromBytes(b)}
		open := func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b)), nil
		}
		base := &Image{Layers: []BlobSource{k}, open: open}
		tree, err := base.Tree(t.Context(), TreeOptions{Hash: partHash})
		if err != nil {
			return
		}
		if err := tree.listings[0].check(); err != nil {
			t.Error(err)
		}
		for e := range tree.Lower.Within("") {
			if clean, err := cleanName(e.Path); err != nil || clean != e.Path {
				t.Errorf("path %q: %q, %v", e.Path, clean, err)
			}
		}
		for name, hash := range tree.listings[0].Objects {
			// The objects that were hashed must be the visible ones.
			n := 0
			for range tree.Lower.Within("nix/store/" + name) {
				n++
			}
			if hash == "" || n == 0 && tree.counts[0][name] == 0 {
				t.Errorf("object %q has the hash %q and %d entries", name, hash, n)
			}
		}
	})
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
