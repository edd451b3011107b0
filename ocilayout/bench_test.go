package ocilayout

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
)

// benchTree writes about 300 MB to a directory, in files and directories like those of a closure,
// and returns them as parts.
func benchTree(b *testing.B) []rootfs.Part {
	b.Helper()
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	block := text(9, 4<<20)
	var parts []rootfs.Part
	for i := range 40 {
		root := fmt.Sprintf("nix/store/%032d-object", i)
		entries := []rootfs.Entry{rootfs.Dir(root, 0o555)}
		var size int64
		for j := range 200 {
			if j%20 == 0 {
				entries = append(entries, rootfs.Dir(fmt.Sprintf("%s/%03d", root, j/20), 0o555))
			}
			n := r.IntN(8 << 10)
			switch {
			case j%50 == 1:
				n = 1<<20 + r.IntN(1<<20)
			case j%5 == 1:
				n = r.IntN(64 << 10)
			}
			path := fmt.Sprintf("%s/%03d/%03d", root, j/20, j)
			at := r.IntN(len(block) - n)
			disk := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
			if err := os.WriteFile(disk, []byte(block[at:at+n]), 0o644); err != nil {
				b.Fatal(err)
			}
			entries = append(entries, rootfs.File(path, 0o444, int64(n), func() (io.ReadCloser, error) { return os.Open(disk) }))
			size += int64(n)
		}
		parts = append(parts, rootfs.Part{Name: fmt.Sprintf("%032d-object", i), Root: root, Size: size, Tree: func(yield func(rootfs.Entry, error) bool) {
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}})
	}
	return parts
}

// BenchmarkLayer builds one layer: tar, SHA-256 and one compressor a processor. It counts MB/s of content.
func BenchmarkLayer(b *testing.B) {
	parts := benchTree(b)
	for _, s := range []string{"none", "gzip:2", "zstd:1", "zstd:3"} {
		c, err := compress.Parse(s)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			b.SetBytes(Layer{Parts: parts}.Size())
			b.ReportAllocs()
			pool := compress.NewPool(c, runtime.GOMAXPROCS(0))
			for b.Loop() {
				_, err := pool.Pack(context.Background(), io.Discard, func(ctx context.Context, w *compress.Stream) error {
					return writeTar(ctx, w, rootfs.Join(parts), nil, nil)
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkImage writes a whole image into a new layout.
func BenchmarkImage(b *testing.B) {
	parts := benchTree(b)
	for _, s := range []string{"none", "gzip:2", "zstd:3"} {
		c, err := compress.Parse(s)
		if err != nil {
			b.Fatal(err)
		}
		layers, err := Plan(parts, plan.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			b.SetBytes(Layer{Parts: parts}.Size())
			for b.Loop() {
				dir := filepath.Join(b.TempDir(), "layout")
				_, err := writeErr(context.Background(), dir, ImageSpec{Platform: linux, Layers: layers, Compression: c}, Options{}, Name{Tag: "v1"})
				if err != nil {
					b.Fatal(err)
				}
				if err := os.RemoveAll(dir); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTarSmall measures the cost of an entry: an empty file, a directory or a link.
func BenchmarkTarSmall(b *testing.B) {
	entries := make([]rootfs.Entry, 0, 30001)
	entries = append(entries, rootfs.Dir("nix", fs.FileMode(0o755)))
	for i := range 10000 {
		entries = append(entries,
			rootfs.Dir(fmt.Sprintf("nix/%05d", i), 0o555),
			rootfs.Link(fmt.Sprintf("nix/%05d/link", i), "target"),
			file(fmt.Sprintf("nix/%05d/name", i), ""))
	}
	p := rootfs.Part{Tree: treeOf(entries...)}
	b.ReportAllocs()
	for b.Loop() {
		if err := writeTar(context.Background(), io.Discard, rootfs.Join([]rootfs.Part{p}), nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkArchive writes an archive of 30 blobs to a file, and compares that with cat of the same blobs.
func BenchmarkArchive(b *testing.B) {
	dir := b.TempDir()
	l, err := OpenArchive(b.Context(), filepath.Join(dir, "image.tar"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	image := ImageSpec{Platform: linux, Compression: method("none")}
	content, size := text(9, 30<<20), int64(0)
	for i := range 30 {
		root := fmt.Sprintf("nix/store/%032d-object", i)
		image.Layers = append(image.Layers, layerOf(part(root, file(root, fmt.Sprint(i, content)))))
		size += int64(len(content))
	}
	desc, err := l.AddImage(b.Context(), image)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("archive", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if _, err := l.PublishArchive(b.Context(), desc, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cat", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			c := exec.Command("sh", "-c", `cat "$1"/* >"$2.new" && mv "$2.new" "$2"`, "sh", filepath.Join(l.engine.dir, blobs), filepath.Join(dir, "cat"))
			if out, err := c.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
}
