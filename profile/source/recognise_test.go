package source

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestRecognise checks that Recognise tells the forms of real stores apart, and calls nothing else a store.
func TestRecognise(t *testing.T) {
	sample, dir := storetest.GoldenSample(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string][]byte{
		"empty": nil, "short": []byte("x"), "text": bytes.Repeat([]byte("text "), 200), "script": []byte("#!/bin/sh\n"),
		"zeros": make([]byte, 2048), "half.gz": {0x1f, 0x8b, 8}, "magic": []byte("\x01\x00\x00\x00\x00\x00\x00\x00"),
		"app.tar": entries(t, "app/", "app/main.go"), "image.tar": entries(t, "oci-layout", "index.json", "blobs/sha256/"),
		"bomb": make([]byte, 64<<20),
	} {
		if err := os.WriteFile(at(name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(at("pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, link := range []struct{ target, at string }{{"loop", "loop"}, {"gone", "dangling"}} {
		if err := os.Symlink(link.target, at(link.at)); err != nil {
			t.Fatal(err)
		}
	}
	const none = Form(-1)
	tests := []struct {
		name string
		want Form
	}{
		{storetest.File(t, "basic.nix-export"), ExportStream},
		{sample.WriteNario2(t), ExportStream},
		{storetest.File(t, "basic.cache"), CacheDirectory},
		{sample.WriteCache(t, "zstd"), CacheDirectory},
		{sample.WriteRoot(t), CopiedStore},
		{filepath.Join(sample.WriteRoot(t), "nix/store"), StoreDirectory},
		{sample.WriteTar(t), Tar},
		{at("empty"), none}, {at("short"), none}, {at("text"), none}, {at("script"), none}, {at("zeros"), none}, {at("half.gz"), none},
		{at("magic"), none}, {at("app.tar"), none}, {at("image.tar"), none}, {gzipped(t, at("bomb")), none},
		{at("pipe"), none}, {at("directory"), none}, {at("loop"), none}, {at("dangling"), none}, {at("missing"), none}, {"/dev/zero", none},
	}
	for _, c := range storetest.Compressions() {
		if c != "br" { // no magic number
			tests = append(tests, struct {
				name string
				want Form
			}{storetest.WriteCompressed(t, c, storetest.File(t, "basic.nix-export")), ExportStream})
		}
	}
	for _, test := range tests {
		got, err := Recognise(test.name)
		if err != nil {
			got = none
		}
		if got != test.want {
			t.Errorf("Recognise(%q) = %d, %v; want %d", test.name, got, err, test.want)
		}
		if test.want == none || filepath.Base(test.name) == "store" {
			continue
		}
		s, err := Open(t.Context(), []string{test.name}, Options{SpoolDir: dir})
		if err != nil {
			t.Errorf("Open(%q): %v", test.name, err)
			continue
		}
		s.Close()
	}
}

// entries returns a tar of files and directories without content.
func entries(t *testing.T, names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzRecognise(f *testing.F) {
	export, err := os.ReadFile(storetest.File(f, "basic.nix-export"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(export[:1<<10])
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("BZh9"))
	f.Add(make([]byte, 2048))
	f.Fuzz(func(t *testing.T, content []byte) {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		form, err := Recognise(name)
		var other *NotStoreError
		if err != nil && !errors.As(err, &other) || err == nil && form != ExportStream && form != Tar {
			t.Errorf("Recognise = %d, %v; want a stream, a tar or a NotStoreError", form, err)
		}
	})
}
