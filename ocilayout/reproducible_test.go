package ocilayout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// The digests of the sample image. If a diffID changes, every user's images change.
// If only the manifest changes, the compressor or the config does.
const sampleDigest = "sha256:ff7bedbf10083697e3a5eb92951748c860170bbf0f8c21153e6f483be47588b5"

var sampleDiffIDs = []digest.Digest{
	"sha256:e525f90149451f44d820b4900b8c941dd210d86c25e764f1a9b62a5773387d73",
	"sha256:599c6ace7121de8af53229c3bac7a19d38241fcccbdf1887b48a4f9ab32338bf",
	"sha256:f07e3c53864ef4631fafb578374faf13cd847a98becf7c973f48af298a66ebc3",
}

// TestMain is also the program that TestReproducible and TestKill run.
// With LAYOUT_DIR set it writes the sample image of LAYOUT_GENERATION there as LAYOUT_TAG, and prints its digest.
// LAYOUT_CACHE names a cache. With LAYOUT_WAIT it announces that it is about to publish, and waits for the end of its standard input.
// With LAYOUT_AS=archive or tar, LAYOUT_DIR is the file to write.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	dir := os.Getenv("LAYOUT_DIR")
	if dir == "" {
		os.Exit(testrun.Run(m))
	}
	if os.Getenv("LAYOUT_UMASK") == "077" {
		syscall.Umask(0o077)
	}
	if err := program(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func program(dir string) error {
	generation, err := strconv.Atoi(os.Getenv("LAYOUT_GENERATION"))
	if err != nil {
		return err
	}
	layers, err := Plan(sample(generation), plan.Options{})
	if err != nil {
		return err
	}
	compression, err := compress.Parse(cmp.Or(os.Getenv("LAYOUT_COMPRESSION"), "gzip"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	var o Options
	if cache := os.Getenv("LAYOUT_CACHE"); cache != "" {
		if o.Cache, err = OpenCache(cache); err != nil {
			return err
		}
	}
	as := os.Getenv("LAYOUT_AS")
	if as == "tar" {
		_, err := PublishTar(ctx, dir, sample(generation), compression, o)
		return err
	}
	open := Open
	if as == "archive" {
		open = OpenArchive
	}
	l, err := open(ctx, dir, o)
	if err != nil {
		return err
	}
	d, err := l.AddImage(ctx, ImageSpec{
		Config:   ispec.ImageConfig{Env: []string{"PATH=/run/profile/bin"}, Labels: map[string]string{"b": "<2>", "a": "1"}},
		Platform: ispec.Platform{OS: "linux", Architecture: "amd64"},
		Layers:   layers,

		Compression: compression,
	})
	if err == nil {
		fmt.Println(d.Digest)
		if os.Getenv("LAYOUT_WAIT") != "" {
			_, err = io.Copy(io.Discard, os.Stdin)
		}
	}
	name := Name{Tag: os.Getenv("LAYOUT_TAG")}
	switch {
	case err != nil:
	case as == "archive":
		_, err = l.PublishArchive(ctx, d, []Name{name})
	default:
		err = l.Publish(ctx, d, name)
	}
	return errors.Join(err, l.Close())
}

func command(t *testing.T, dir string, generation int, tag string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "LAYOUT_DIR="+dir, fmt.Sprint("LAYOUT_GENERATION=", generation), "LAYOUT_TAG="+tag)
	c.Env = append(c.Env, env...)
	return c
}

// TestReproducible checks that umask, time zone, locale, processors, directory and cache do not change the image.
func TestReproducible(t *testing.T) {
	cache := "LAYOUT_CACHE=" + filepath.Join(t.TempDir(), "cache")
	archives := make(map[digest.Digest]bool)
	for i, env := range [][]string{
		{"LAYOUT_UMASK=022", "TZ=UTC", "GOMAXPROCS=1"},
		{"LAYOUT_UMASK=077", "TZ=Asia/Kathmandu", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=4"},
		{"LAYOUT_UMASK=022", "TZ=America/St_Johns", "GOMAXPROCS=8"},
		{"LAYOUT_UMASK=077", "GOMAXPROCS=2", cache},
		{"LAYOUT_UMASK=022", "GOMAXPROCS=1", cache},
	} {
		dir := filepath.Join(t.TempDir(), strings.Repeat("x", i+1))
		out, err := command(t, dir, 1, "v1", env...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v, %s", env, err, out)
		}
		verify(t, dir)
		if got := strings.TrimSpace(string(out)); got != sampleDigest {
			t.Errorf("%q: digest %s, want %s", env, got, sampleDigest)
		}
		archive := dir + ".tar"
		if out, err := command(t, archive, 1, "v1", append(env, "LAYOUT_AS=archive")...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v, %s", env, err, out)
		}
		if fi, err := os.Stat(archive); err != nil || fi.Mode() != 0o644 {
			t.Errorf("%q: the archive is %v, %v", env, fi, err)
		}
		archives[sum(t, archive)] = true
	}
	if len(archives) != 1 {
		t.Errorf("archives are %v, want them to be the same", archives)
	}
}

// TestDiffIDs pins the layers of the sample, independent of a compressor.
func TestDiffIDs(t *testing.T) {
	for _, s := range []string{"none", "gzip", "gzip:9", "zstd"} {
		image := sampleImage(t, 1)
		var err error
		if image.Compression, err = compress.Parse(s); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "layout")
		d := write(t, dir, image, Name{Tag: "v1"})
		verify(t, dir)
		if d := gocmp.Diff(sampleDiffIDs, readConfig(t, dir, d).RootFS.DiffIDs); d != "" {
			t.Errorf("%s: diffIDs (-want +got):\n%s", s, d)
		}
	}
}

func readConfig(t *testing.T, dir string, d ispec.Descriptor) ispec.Image {
	t.Helper()
	var m ispec.Manifest
	var config ispec.Image
	for _, step := range []struct {
		d digest.Digest
		v any
	}{{d.Digest, &m}, {"", &config}} {
		if step.d == "" {
			step.d = m.Config.Digest
		}
		b, err := os.ReadFile(filepath.Join(dir, blobs, step.d.Encoded()))
		if err == nil {
			err = json.Unmarshal(b, step.v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return config
}

// TestCreated checks that the creation time is in the config and its history, and in no layer.
func TestCreated(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	image := sampleImage(t, 1)
	image.Created = time.Date(2024, 5, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	config := readConfig(t, dir, write(t, dir, image, Name{Tag: "v1"}))
	want := image.Created.UTC()
	if !config.Created.Equal(want) || config.Created.Location() != time.UTC {
		t.Errorf("created = %v, want %v", config.Created, want)
	}
	for _, h := range config.History {
		if !h.Created.Equal(want) {
			t.Errorf("created = %v, want %v", h.Created, want)
		}
	}
	if d := gocmp.Diff(sampleDiffIDs, config.RootFS.DiffIDs); d != "" {
		t.Errorf("diffIDs (-want +got):\n%s", d)
	}
}

// TestConfig pins the config and manifest of an image without layers, and the history of the sample.
func TestConfig(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	d := write(t, dir, ImageSpec{Platform: ispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, Annotations: map[string]string{"k": "v"}}, Name{Tag: "none"})
	verify(t, dir)
	b, err := os.ReadFile(filepath.Join(dir, blobs, d.Digest.Encoded()))
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + m.Config.Digest.String() + `","size":139},` +
		`"layers":[],"annotations":{"k":"v"}}` + "\n"
	if string(b) != want || err != nil {
		t.Errorf("manifest = %s, %v; want %s", b, err, want)
	}
	b, err = os.ReadFile(filepath.Join(dir, blobs, m.Config.Digest.Encoded()))
	want = `{"created":"1970-01-01T00:00:01Z","architecture":"arm64","os":"linux","variant":"v8","config":{},"rootfs":{"type":"layers","diff_ids":[]}}` + "\n"
	if string(b) != want || err != nil {
		t.Errorf("config = %s, %v; want %s", b, err, want)
	}

	config := readConfig(t, dir, write(t, dir, sampleImage(t, 1), Name{Tag: "v1"}))
	var got []string
	for _, h := range config.History {
		said, err := history.Parse(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range said.Objects {
			got = append(got, o.Name)
		}
	}
	if want := "1111-lib 2222-app 3333-big-1 base 4444-profile"; strings.Join(got, " ") != want {
		t.Errorf("history names %q, want %q", got, want)
	}
}

// TestAddImageParallel checks that layers come in the order of the plan, whichever is ready first.
func TestAddImageParallel(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	image := sampleImage(t, 1)
	image.Layers = nil
	for i := range 40 {
		path := fmt.Sprintf("nix/store/%02d-object", i)
		image.Layers = append(image.Layers, layerOf(part(path, file(path, text(uint64(i), (i*7919)%40000)))))
	}
	dir := filepath.Join(t.TempDir(), "layout")
	config := readConfig(t, dir, write(t, dir, image, Name{Tag: "v1"}))
	verify(t, dir)
	for i, l := range image.Layers {
		h := digest.Canonical.Digester()
		if err := writeTar(t.Context(), h.Hash(), l.Parts[0].Tree, nil, nil); err != nil {
			t.Fatal(err)
		}
		if len(config.History) <= i || !strings.HasPrefix(config.History[i].Comment, l.Parts[0].Name+"@") {
			t.Errorf("history %d is not that of %s", i, l.Parts[0].Name)
		}
	}
}
