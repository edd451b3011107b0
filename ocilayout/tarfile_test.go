package ocilayout

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
)

// TestWriteTar checks that the tar has every entry of all parts, in path order, as package archive/tar reads it.
func TestWriteTar(t *testing.T) {
	parts := sample(1)
	var plain []byte
	for _, s := range []string{"none", "gzip", "zstd"} {
		c, err := compress.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		progress := int64(0)
		got, err := WriteTar(t.Context(), &b, parts, c, Options{Progress: func(n int64) { progress += n }})
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := unpack(c.MediaType(), b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if plain == nil {
			plain = unpacked
			if want := checkTar(t, plain, parts); progress != want {
				t.Errorf("progress is %d, want %d", progress, want)
			}
		}
		if !bytes.Equal(unpacked, plain) {
			t.Errorf("%s: has other bytes", s)
		}
		if want := (TarResult{Digest: digest.FromBytes(b.Bytes()), DiffID: digest.FromBytes(plain), Size: int64(b.Len())}); got != want {
			t.Errorf("%s: WriteTar = %v, want %v", s, got, want)
		}
	}
	if _, err := WriteTar(t.Context(), new(failAfter), parts, compress.Method{}, Options{}); !errors.Is(err, errFull) {
		t.Errorf("WriteTar to a full disk: %v", err)
	}
}

// checkTar checks the entries of a tar and returns the total size of their contents.
func checkTar(t *testing.T, b []byte, parts []rootfs.Part) (size int64) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(b))
	for e, err := range rootfs.Join(parts) {
		if err != nil {
			t.Fatal(err)
		}
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", e.Path, err)
		}
		mode := e.Mode.Perm()
		if e.Mode&fs.ModeSticky != 0 {
			mode |= 0o1000
		}
		if strings.TrimSuffix(h.Name, "/") != e.Path || h.Linkname != e.Target || h.Mode != int64(mode) || h.ModTime.Unix() != 1 {
			t.Errorf("%q: %+v, want %+v", e.Path, h, e)
		}
		if !e.IsRegular() {
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		size += int64(len(got))
		f, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if want, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q has other bytes, %v", e.Path, err)
		}
		f.Close()
	}
	if h, err := r.Next(); err != io.EOF {
		t.Errorf("after all entries: %v, %v", h, err)
	}
	return size
}

// TestPublishTar checks that a file that cannot be completed leaves the old one in its place.
func TestPublishTar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.tar")
	plain := method("none")
	want, err := PublishTar(t.Context(), file, sample(1), plain, Options{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	broken := sample(2)
	broken[1].Tree = func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, errFull) }
	if _, err := PublishTar(t.Context(), file, broken, plain, Options{}); !errors.Is(err, errFull) {
		t.Errorf("PublishTar of a broken part: %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil || digest.FromBytes(b) != want.Digest || int64(len(b)) != want.Size {
		t.Errorf("the file is %s with %d bytes, %v; want %+v", digest.FromBytes(b), len(b), err, want)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o644 {
		t.Errorf("the file is %v, %v", fi, err)
	}
	if got := names(t, filepath.Dir(file)); !cmp.Equal(got, []string{"root.tar"}) {
		t.Errorf("there is %q", got)
	}
}
