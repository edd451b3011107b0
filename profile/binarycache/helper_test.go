package binarycache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// files maps the names of a cache's files to their content.
type files map[string][]byte

// golden returns the golden closure as Nix wrote it, in xz.
func golden(t testing.TB) files {
	t.Helper()
	return cacheIn(t, storetest.File(t, "basic.cache"))
}

func cacheIn(t testing.TB, dir string) files {
	t.Helper()
	f := make(files)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		f[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// parse parses the narinfo with the given file name.
func (f files) parse(t testing.TB, name string) *NarInfo {
	t.Helper()
	n, err := ParseNarInfo(f[name])
	if err != nil {
		t.Fatalf("ParseNarInfo(%s) = %v", name, err)
	}
	return n
}

// recompressed returns a cache with the same objects in another compression.
func (f files) recompressed(t testing.TB, compression string) files {
	t.Helper()
	out := files{cacheInfoName: f[cacheInfoName]}
	for name := range f {
		if path.Ext(name) != ".narinfo" {
			continue
		}
		n := f.parse(t, name)
		z, err := decompress.NewReader(n.Compression, bytes.NewReader(f[n.URL]))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		n.Compression = compression
		out.add(n, compress(t, compression, b))
	}
	return out
}

// add adds an object with its compressed NAR.
func (f files) add(n *NarInfo, packed []byte) {
	n.FileHash, n.FileSize = sha256.Sum256(packed), int64(len(packed))
	n.URL = "nar/" + n.FileHash.Hex() + ".nar" // the name does not tell the compression
	f[n.URL] = packed
	f[n.Path.Digest()+".narinfo"] = []byte(n.String())
}

func compress(t testing.TB, compression string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch compression {
	case "none":
		return b
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "lz4":
		z := lz4.NewWriter(&out)
		if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			t.Fatal(err)
		}
		w = z
	case "zstd":
		// Several frames, as Nix has written them since 2.35.
		for len(b) > 0 {
			z, err := zstd.NewWriter(&out)
			if err != nil {
				t.Fatal(err)
			}
			n := min(len(b), 300)
			if _, err := z.Write(b[:n]); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		return out.Bytes()
	default:
		t.Fatalf("no encoder for %q", compression)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// dir writes the cache into a new directory.
func (f files) dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range f {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := f[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// serve starts a server and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// faulty answers the first requests for one file with another handler.
type faulty struct {
	http.Handler
	name  string
	times int64
	then  http.HandlerFunc
	seen  atomic.Int64
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/"+f.name && f.seen.Add(1) <= f.times {
		f.then(w, r)
		return
	}
	f.Handler.ServeHTTP(w, r)
}

// quickOptions returns options with short waits.
func quickOptions() Options {
	return Options{Stall: 5 * time.Second, Backoff: time.Millisecond}
}

func open(t testing.TB, location string, o Options) profile.Store {
	t.Helper()
	s, err := Open(t.Context(), location, o)
	if err != nil {
		t.Fatalf("Open(%q) = %v", location, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const smallPath profile.Path = "/nix/store/00000000000000000000000000000001-small"

// object adds an object that is a single file.
func (f files) object(t testing.TB, p profile.Path, compression string, content []byte) *NarInfo {
	t.Helper()
	b := narOf(t, p, content)
	n := &NarInfo{Location: Location{Compression: compression}}
	n.Path, n.NarHash, n.NarSize = p, sha256.Sum256(b), int64(len(b))
	f[cacheInfoName] = []byte("StoreDir: /nix/store\n")
	f.add(n, compress(t, compression, b))
	return n
}

func narOf(t testing.TB, p profile.Path, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	tree := func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.File(p.Root(), 0o444, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}), nil)
	}
	if err := nar.Write(&b, tree, p.Root()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readFile reads an object that is a single file.
func readFile(ctx context.Context, s profile.Store, p profile.Path) ([]byte, error) {
	var b []byte
	for e, err := range s.Files(ctx, p) {
		if err != nil {
			return b, err
		}
		r, err := e.Open()
		if err != nil {
			return b, err
		}
		b, err = io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return b, err
		}
	}
	return b, nil
}
