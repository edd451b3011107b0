package ocilayout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/rootfs"
)

// chunkedParts returns parts of a closure whose store hashes are repeated digits.
func chunkedParts(program, library byte) (app, lib Layer) {
	hash := func(c byte) string { return "nix/store/" + strings.Repeat(string(c), 32) + "-name" }
	root := hash(program)
	app = layerOf(part(root,
		rootfs.Dir(root, 0o555),
		file(root+"/large", text(1, 20<<10)+"/"+hash(library)+text(2, 20<<10)+"/"+hash(program)+text(3, 9<<10)),
		file(root+"/other", text(4, 9<<10)),
		file(root+"/small", "/"+hash(library))))
	root = hash(library)
	lib = layerOf(part(root, rootfs.Dir(root, 0o555), file(root+"/lib", text(5, 30<<10)+string(library))))
	return app, lib
}

// tocOf reads a TOC without the code under test.
func tocOf(t *testing.T, dir string, d ispec.Descriptor) (toc chunked.TOC, l chunked.Location) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, blobs, d.Digest.Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	if l, err = chunked.ParseAnnotations(d.Annotations, d.Size); err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(bytes.NewReader(b[l.TOC.Offset : l.TOC.Offset+l.TOC.Length]))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := json.NewDecoder(z).Decode(&toc); err != nil {
		t.Fatal(err)
	}
	return toc, l
}

// wantChunks computes what FetchChunks should say from the TOCs of two images.
func wantChunks(t *testing.T, oldDir string, old ispec.Manifest, dir string, next ispec.Manifest) (f FetchedChunks) {
	t.Helper()
	blobs, files, chunks := make(map[digest.Digest]bool), make(map[string]bool), make(map[string]bool)
	for _, d := range append(old.Layers, old.Config) {
		if blobs[d.Digest] = true; d.Annotations == nil {
			continue
		}
		toc, _ := tocOf(t, oldDir, d)
		for _, e := range toc.Entries {
			files[e.Digest], chunks[e.Digest], chunks[e.ChunkDigest] = true, true, true
		}
	}
	delete(files, "")
	delete(chunks, "")
	for _, d := range append(next.Layers, next.Config) {
		switch {
		case blobs[d.Digest]:
			continue
		case d.Annotations == nil:
			f.Whole += d.Size
			continue
		}
		toc, l := tocOf(t, dir, d)
		f.Tables += l.TOC.Length + l.TarSplit.Length
		lastEnd := int64(-1 << 20)
		had := false
		for i, e := range toc.Entries {
			if e.Type == "reg" {
				had = files[e.Digest]
			}
			if e.Offset == 0 || had || chunks[e.ChunkDigest] {
				continue
			}
			end := e.EndOffset
			if i+1 < len(toc.Entries) && toc.Entries[i+1].Type == "chunk" {
				end = toc.Entries[i+1].Offset
			}
			if gap := e.Offset - lastEnd; gap <= 1024 {
				f.Contents += gap
			} else {
				f.Ranges++
			}
			f.Contents += end - e.Offset
			lastEnd = end
		}
	}
	return f
}

// TestFetchChunks compares what a holder of an image fetches of another one with the TOCs of both.
func TestFetchChunks(t *testing.T) {
	root := t.TempDir()
	app, lib := chunkedParts('1', '2')
	app2, lib2 := chunkedParts('3', '4')
	app3, lib3 := chunkedParts('1', '5')
	image := func(compression string, layers ...Layer) ImageSpec {
		return ImageSpec{Platform: linux, Layers: layers, Compression: method(compression)}
	}
	over := func(base, compression string, layers ...Layer) ImageSpec {
		b, err := imageIn(t.Context(), filepath.Join(root, base), "", linux)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Tree(t.Context(), TreeOptions{}); err != nil {
			t.Fatal(err)
		}
		image := image(compression, layers...)
		image.Base = b
		return image
	}
	manifests := make(map[string]ispec.Manifest)
	for _, i := range []struct {
		name string
		spec func() ImageSpec
	}{
		{"old", func() ImageSpec { return image("zstd:chunked", app, lib) }},
		{"new", func() ImageSpec { return image("zstd:chunked", app2, lib2) }},
		{"library", func() ImageSpec { return image("zstd:chunked", app3, lib3) }},
		{"one layer", func() ImageSpec { return image("zstd:chunked", layerOf(app.Parts[0], lib.Parts[0])) }},
		{"level", func() ImageSpec { return image("zstd:chunked:9", app, lib) }},
		{"empty", func() ImageSpec { return image("zstd:chunked") }},
		{"plain", func() ImageSpec { return image("zstd", app) }},
		{"mixed", func() ImageSpec { return over("plain", "zstd:chunked", lib2) }},
		{"gzip", func() ImageSpec { return image("gzip", lib2) }},
	} {
		dir := filepath.Join(root, i.name)
		d := write(t, dir, i.spec(), hello)
		manifests[i.name] = manifestOf(t, dir, d)
	}
	for _, tt := range []struct {
		old, next string
		check     func(FetchedChunks, ispec.Manifest) bool
		what      string
	}{
		{"old", "new", func(f FetchedChunks, _ ispec.Manifest) bool {
			return f.Contents > 0 && f.Contents < 8<<10 && f.Ranges >= 3
		}, "what holds a hash, in at least 3 ranges"},
		{"old", "library", func(f FetchedChunks, _ ispec.Manifest) bool { return f.Contents > 0 && f.Contents < 8<<10 }, "what holds the library's hash"},
		{"old", "one layer", func(f FetchedChunks, _ ispec.Manifest) bool { return f.Contents == 0 && f.Tables > 0 }, "only tables"},
		{"one layer", "old", func(f FetchedChunks, _ ispec.Manifest) bool { return f.Contents == 0 && f.Tables > 0 }, "only tables"},
		{"old", "level", func(f FetchedChunks, _ ispec.Manifest) bool { return f.Contents == 0 && f.Tables > 0 }, "only tables"},
		{"plain", "old", func(f FetchedChunks, m ispec.Manifest) bool { return f.Contents > 16<<10 }, "all contents"},
		{"old", "mixed", func(f FetchedChunks, m ispec.Manifest) bool {
			return f.Whole > m.Layers[0].Size && f.Contents > 0 && f.Contents < m.Layers[1].Size
		}, "a whole layer and chunks of another one"},
		{"mixed", "old", nil, ""},
		{"gzip", "mixed", nil, ""},
		{"empty", "old", nil, ""},
	} {
		name := tt.old + " to " + tt.next
		dirs := [2]string{filepath.Join(root, tt.old), filepath.Join(root, tt.next)}
		old, err := imageIn(t.Context(), dirs[0], "", linux)
		if err != nil {
			t.Fatal(err)
		}
		next, err := imageIn(t.Context(), dirs[1], "", linux)
		if err != nil {
			t.Fatal(err)
		}
		want := wantChunks(t, dirs[0], manifests[tt.old], dirs[1], manifests[tt.next])
		want.Whole += next.Manifest.Size
		want.Bytes = want.Contents + want.Tables + want.Whole
		got, err := old.FetchChunks(t.Context(), next)
		if diff := cmp.Diff(&want, got); err != nil || diff != "" {
			t.Errorf("%s: FetchChunks = _, %v; want <nil> and (-want +got)\n%s", name, err, diff)
		} else if tt.check != nil && !tt.check(*got, manifests[tt.next]) {
			t.Errorf("%s: FetchChunks = %+v; want %s", name, got, tt.what)
		}
		if tt.old == "mixed" {
			continue // its top layers are not for planning
		}
		m := manifests[tt.next]
		got, err = readPrevious(t, dirs[0], "v1").FetchChunks(t.Context(), append(m.Layers, m.Config, next.Manifest), next.OpenRange)
		if diff := cmp.Diff(&want, got); err != nil || diff != "" {
			t.Errorf("%s: FetchChunks of the previous image = _, %v; want <nil> and (-want +got)\n%s", name, err, diff)
		}
	}

	// The same from an archive.
	old, err := imageIn(t.Context(), filepath.Join(root, "old"), "", linux)
	if err != nil {
		t.Fatal(err)
	}
	archive, _ := stream(t, image("zstd:chunked", app2, lib2), []Name{hello}, Options{})
	a, err := openArchive(t, archive)
	if err != nil {
		t.Fatal(err)
	}
	source, err := a.Find("")
	if err != nil {
		t.Fatal(err)
	}
	archived, err := source.Read(t.Context(), linux)
	if err != nil {
		t.Fatal(err)
	}
	next, err := imageIn(t.Context(), filepath.Join(root, "new"), "", linux)
	if err != nil {
		t.Fatal(err)
	}
	want, err := old.FetchChunks(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := old.FetchChunks(t.Context(), archived); err != nil || !cmp.Equal(want, got) {
		t.Errorf("of an archive, FetchChunks = %+v, %v; want %+v, <nil>", got, err, want)
	}
	if got, err := archived.FetchChunks(t.Context(), next); err != nil || got != nil {
		t.Errorf("of the same image, FetchChunks = %+v, %v; want <nil>, <nil>", got, err)
	}

	// Without tables in the layers that are fetched, there is nothing to say.
	for _, pair := range [][2]string{{"old", "plain"}, {"plain", "gzip"}, {"mixed", "plain"}} {
		from, err := imageIn(t.Context(), filepath.Join(root, pair[0]), "", linux)
		if err != nil {
			t.Fatal(err)
		}
		to, err := imageIn(t.Context(), filepath.Join(root, pair[1]), "", linux)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := from.FetchChunks(t.Context(), to); err != nil || got != nil {
			t.Errorf("%q: FetchChunks = %+v, %v; want <nil>, <nil>", pair, got, err)
		}
	}
}

// TestFetchChunksReadsTables checks that FetchChunks reads nothing but the TOCs, and names the layer whose TOC is wrong.
func TestFetchChunksReadsTables(t *testing.T) {
	root := t.TempDir()
	var images [2]*Image
	for i, name := range []string{"old", "new"} {
		app, lib := chunkedParts('1'+byte(2*i), '2'+byte(2*i))
		dir := filepath.Join(root, name)
		write(t, dir, ImageSpec{Platform: linux, Layers: []Layer{app, lib}, Compression: method("zstd:chunked")}, hello)
		var err error
		if images[i], err = imageIn(t.Context(), dir, "", linux); err != nil {
			t.Fatal(err)
		}
	}
	for i, img := range images {
		for j, l := range img.Layers {
			name := l.path()
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			at, err := chunked.ParseAnnotations(l.Descriptor.Annotations, l.Descriptor.Size)
			if err != nil {
				t.Fatal(err)
			}
			toc := bytes.Clone(b[at.TOC.Offset : at.TOC.Offset+at.TOC.Length])
			for k := range b {
				b[k] ^= 0xff
			}
			copy(b[at.TOC.Offset:], toc)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := images[0].FetchChunks(t.Context(), images[1]); err != nil || got == nil {
				t.Fatalf("with damage outside of its TOC: FetchChunks = %v, %v; want no error", got, err)
			}
			b[at.TOC.Offset+at.TOC.Length/2] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			want := []string{"layer " + string(rune('1'+j)), []string{"first", "second"}[i], "read TOC: it has the digest"}
			_, err = images[0].FetchChunks(t.Context(), images[1])
			for _, word := range want {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("with a wrong TOC: FetchChunks = %v; want %q", err, want)
				}
			}
			b[at.TOC.Offset+at.TOC.Length/2] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A source that has neither ranges nor files is not read from its beginning.
	var opened atomic.Int32 // several layers at a time
	images[1].openRange = (&ImageSource{Open: func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
		opened.Add(1)
		return io.NopCloser(neverRead{t}), nil
	}}).openRange
	if _, err := images[0].FetchChunks(t.Context(), images[1]); err == nil || !strings.Contains(err.Error(), "only be read from its beginning") {
		t.Errorf("of a stream, FetchChunks = %v; want that it can only be read from its beginning", err)
	}
	if opened.Load() == 0 {
		t.Error("the stream was not opened")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := images[0].FetchChunks(ctx, images[1]); !errors.Is(err, stopped) {
		t.Errorf("FetchChunks = %v once stopped; want %v", err, stopped)
	}
}

type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) {
	n.t.Error("the stream was read")
	return 0, io.EOF
}
