package binarycache

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/profile/storetest"
)

// text is the content of the object smallPath.
var text = []byte(strings.Repeat("content ", 100))

// TestHostileCache checks that a cache that lies or is damaged gives an error, in a directory and from a server.
func TestHostileCache(t *testing.T) {
	narinfo := smallPath.Digest() + ".narinfo"
	for _, test := range []struct {
		name        string
		compression string
		change      func(t *testing.T, f files, n *NarInfo)
		err         string // substring
	}{
		{"nothing", "gzip", func(*testing.T, files, *NarInfo) {}, ""},
		{"about another path", "gzip", func(_ *testing.T, f files, n *NarInfo) {
			n.Path = "/nix/store/00000000000000000000000000000002-small"
		}, `it is about "/nix/store/00000000000000000000000000000002-small", not "` + string(smallPath) + `"`},
		{"about another name", "gzip", func(_ *testing.T, f files, n *NarInfo) {
			n.Path += "er"
		}, `it is about "/nix/store/00000000000000000000000000000001-smaller", not`},
		{"a URL that leads to no NAR", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.URL = narinfo }, "decompress gzip"},
		{"a file scheme", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.URL = "file:///etc/passwd" }, "URL"},
		{"a javascript scheme", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.URL = "javascript:x" }, ""},
		{"the NAR is missing", "gzip", func(_ *testing.T, f files, n *NarInfo) { delete(f, n.URL) }, anyError},
		{"another compression", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.Compression = "xz" }, "decompress xz"},
		{"compression none for a compressed file", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.Compression = "none" }, "NAR at byte"},
		{"an unknown compression", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.Compression = "lrzip" }, `compression "lrzip": unsupported operation`},
		{"another NAR hash", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.NarHash[3] ^= 1 }, "NAR hash of"},
		{"a larger NAR size", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.NarSize += 8 }, "NAR of"},
		{"a smaller NAR size", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.NarSize -= 8 }, "more than the"},
		{"a huge NAR size", "gzip", func(_ *testing.T, f files, n *NarInfo) { n.NarSize = 1<<63 - 2 }, "NAR of"},
		{"bytes after the NAR", "none", func(t *testing.T, f files, n *NarInfo) {
			b := append(bytes.Clone(f[n.URL]), 0)
			n.NarSize++
			f.add(n, b)
		}, "data after the end of the NAR"},
		{"bytes after the compressed NAR", "xz", func(t *testing.T, f files, n *NarInfo) {
			*n = *f.parse(t, hello[:32]+".narinfo")
			b := append(bytes.Clone(f[n.URL]), "12345678"...)
			f.add(n, b)
		}, "xz"},
		{"bytes after the brotli stream", "br", func(t *testing.T, f files, n *NarInfo) {
			f.add(n, append(bytes.Clone(f[n.URL]), make([]byte, 100<<10)...))
		}, "br"},
		{"a window of 256 MiB", "zstd", func(t *testing.T, f files, n *NarInfo) {
			n.Compression = "zstd"
			// A frame with a window of 2^28: frame header descriptor, window descriptor, an empty last block.
			f.add(n, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 1, 0, 0})
		}, "zstd: window larger than 128 MiB"},
		{"a bomb", "gzip", func(t *testing.T, f files, n *NarInfo) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			for range 16 {
				if _, err := z.Write(make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
			}
			z.Close()
			f.add(n, b.Bytes())
		}, "NAR at byte"},
		{"a bomb after the NAR", "gzip", func(t *testing.T, f files, n *NarInfo) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(narOf(t, smallPath, text))
			_, _ = z.Write(make([]byte, 8<<20))
			z.Close()
			f.add(n, b.Bytes())
		}, "more than the"},
		{"many members that decompress to nothing", "gzip", func(t *testing.T, f files, n *NarInfo) {
			f.add(n, bytes.Repeat(compress(t, "gzip", nil), 60_000))
			n.FileSize, n.FileHash = 0, profile.Hash{}
		}, "for a NAR of less than half that size"},
	} {
		for _, where := range []string{"directory", "server"} {
			t.Run(test.name+" in a "+where, func(t *testing.T) {
				f := golden(t)
				compression := test.compression
				if compression == "xz" {
					compression = "none"
				}
				n := f.object(t, smallPath, compression, text)
				test.change(t, f, n)
				p := smallPath
				if test.compression == "xz" {
					p = n.Path
				}
				f[p.Digest()+".narinfo"] = []byte(n.String())
				at := f.dir(t)
				if where == "server" {
					at = serve(t, f)
				}
				s := open(t, at, quickOptions())
				lines, err := storetest.List(s.Files(t.Context(), p))
				switch {
				case test.name == "nothing":
					if err != nil || len(lines) != 1 {
						t.Errorf("Files = %q, %v; want one entry", lines, err)
					}
				case err == nil || !strings.Contains(err.Error(), test.err):
					t.Errorf("Files = %v; want …%s…", err, test.err)
				}
				// A walk that opens nothing finds the same errors.
				for _, again := range s.Files(t.Context(), p) {
					if (again == nil) != (err == nil) && again != nil {
						t.Errorf("walk without opening files: %v; with opening them: %v", again, err)
					}
				}
				if test.name == "a window of 256 MiB" {
					var window *decompress.WindowError
					if !errors.As(err, &window) {
						t.Errorf("Files = %v; want a WindowError", err)
					}
				}
			})
		}
	}
}

const anyError = "" // an HTTP status, or an error of the file system

// TestDirectoryURL checks that URLs which are not paths below the directory are refused.
func TestDirectoryURL(t *testing.T) {
	for _, url := range []string{"/etc/passwd", "../x", "nar/../../x", "./x", "nar//x", "http://localhost/x", "https://localhost/x", "file:///etc/passwd", "nar/"} {
		f := make(files)
		n := f.object(t, smallPath, "none", text)
		n.URL = url
		f[smallPath.Digest()+".narinfo"] = []byte(n.String())
		b, err := readFile(t.Context(), open(t, f.dir(t), quickOptions()), smallPath)
		if err == nil || !strings.Contains(err.Error(), "is not a path below the binary cache") {
			t.Errorf("Files with URL %q = %q, %v; want it refused", url, b, err)
		}
	}
}

// TestDirectoryNoFile checks that a missing NAR and a named pipe in its place are errors, without blocking.
func TestDirectoryNoFile(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "none", text)
	packed := f[n.URL]
	delete(f, n.URL)
	dir := f.dir(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quickOptions())
	if _, err := readFile(t.Context(), s, smallPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Files without the NAR = %v; want %v", err, fs.ErrNotExist)
	}
	n.URL = "fifo"
	f = files{smallPath.Digest() + ".narinfo": []byte(n.String()), "x": packed}
	dir2 := f.dir(t)
	if err := syscall.Mkfifo(filepath.Join(dir2, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := readFile(t.Context(), open(t, dir2, quickOptions()), smallPath)
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Files with a pipe as NAR = %v; want an error", err)
	}
}

// TestBitFlips flips every bit of a narinfo and of its NAR, and checks that other content is always an error.
func TestBitFlips(t *testing.T) {
	content := []byte("a few bytes")
	for _, compression := range []string{"none", "gzip", "zstd", "br", "lz4"} {
		f := make(files)
		n := f.object(t, smallPath, compression, content)
		same, all := 0, 0
		dir := t.TempDir()
		for name := range f {
			if name == cacheInfoName || name != n.URL && compression != "none" {
				continue
			}
			was := f[name]
			for bit := range len(was) * 8 {
				f[name] = bytes.Clone(was)
				f[name][bit/8] ^= 1 << (bit % 8)
				h := memory{f}
				s := &Store{backend: h, objects: make(map[profile.Path]*object), spool: spooler{dir: dir}}
				b, err := readFile(t.Context(), s, smallPath)
				if err == nil && !bytes.Equal(b, content) {
					t.Fatalf("%s: %s with bit %d flipped: %q and no error", compression, name, bit, b)
				}
				if all++; err == nil {
					same++
				}
			}
			f[name] = was
		}
		if b, err := readFile(t.Context(), open(t, f.dir(t), quickOptions()), smallPath); err != nil || !bytes.Equal(b, content) {
			t.Fatalf("unflipped: %q, %v", b, err)
		}
		if same > all/2 {
			t.Errorf("%s: %d of %d flips had no effect", compression, same, all)
		}
	}
}

// TestTruncated cuts a NAR off at every byte and checks that each cut is an error.
func TestTruncated(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zstd", "br", "lz4"} {
		f := make(files)
		content := []byte("a few bytes")
		n := f.object(t, smallPath, compression, content)
		n.FileHash, n.FileSize = profile.Hash{}, 0
		f[smallPath.Digest()+".narinfo"] = []byte(n.String())
		was, dir := f[n.URL], t.TempDir()
		for cut := range was {
			f[n.URL] = was[:cut]
			s := &Store{backend: memory{f}, objects: make(map[profile.Path]*object), spool: spooler{dir: dir}}
			// The decoder accepts an lz4 stream without its last checksum; the content is complete then.
			if b, err := readFile(t.Context(), s, smallPath); err == nil && !(compression == "lz4" && bytes.Equal(b, content)) {
				t.Errorf("%s: cut off at byte %d: %q and no error", compression, cut, b)
			}
		}
	}
}

// memory is a backend in memory.
type memory struct{ files }

func (m memory) name(file string) string { return file }
func (m memory) close()                  {}

func (m memory) read(_ context.Context, name string, _ int64) ([]byte, error) {
	if b, ok := m.files[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) open(_ context.Context, n *NarInfo) (io.ReadCloser, error) {
	b, ok := m.files[n.URL]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return closable{bytes.NewReader(b)}, nil
}

type closable struct{ *bytes.Reader }

func (closable) Close() error { return nil }

// FuzzParseCacheInfo checks that a cache has one store directory, which stands in its file.
func FuzzParseCacheInfo(f *testing.F) {
	f.Add([]byte("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 40\n"))
	f.Add([]byte("Priority: x\r\nno colon\nStoreDir:/nix/store \r\nFoo: bar"))
	f.Add([]byte("StoreDir: /nix/store\nStoreDir: /gnu/store"))
	f.Add([]byte("<html>a: b</html>\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir, named, err := parseCacheInfo(b)
		if says := bytes.Contains(b, []byte("StoreDir:")); named && (!says || err == nil && !bytes.Contains(b, []byte(dir.String()))) {
			t.Errorf("parseCacheInfo(%q) = %v, %v", b, named, err)
		}
		if _, again, err2 := parseCacheInfo(append(bytes.Clone(b), "\nStoreDir: /nix/stor"...)); !again || named && err2 == nil {
			t.Errorf("parseCacheInfo(%q and another store directory) = %v, %v; want an error", b, again, err2)
		}
	})
}

// TestNoCache checks which directories and servers Open refuses.
func TestNoCache(t *testing.T) {
	for _, test := range []struct {
		name string
		f    files
		dir  string // error of Open for a directory, or "" if it succeeds
		url  string // the same for a server
	}{
		{"nothing", files{}, "neither nix-cache-info nor a narinfo", "not a binary cache"},
		{"two stores", files{cacheInfoName: []byte("StoreDir: /gnu/store\nStoreDir: /nix/store\n")},
			"two store directories: /gnu/store and /nix/store", "two store directories: /gnu/store and /nix/store"},
		{"a store directory that is none", files{cacheInfoName: []byte("StoreDir: store\n")}, "want an absolute path", "want an absolute path"},
		{"a page", files{cacheInfoName: []byte("<html>a: b</html>\n")}, "", "it names no StoreDir"},
		{"too long", files{cacheInfoName: []byte("StoreDir: /nix/store\n" + strings.Repeat("x", maxCacheInfo))}, "more than 65536 bytes", "more than 65536 bytes"},
		{"narinfos alone", files{smallPath.Digest() + ".narinfo": []byte("x")}, "", "not a binary cache"},
		{"other files", files{"x.narinfo": nil, "readme": nil}, "neither nix-cache-info nor a narinfo", "not a binary cache"},
		{"odd but good", files{cacheInfoName: []byte("Priority: x\r\nno colon\nStoreDir:/nix/store \r\nFoo: bar")}, "", ""},
	} {
		for at, want := range map[string]string{test.f.dir(t): test.dir, serve(t, test.f): test.url} {
			s, err := Open(t.Context(), at, quickOptions())
			switch {
			case want == "" && err != nil:
				t.Errorf("%s: Open(%q) = %v", test.name, at, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%s: Open(%q) = %v; want …%s…", test.name, at, err, want)
			}
			if err == nil {
				s.Close()
			}
		}
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "gone"), quickOptions()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a missing directory = %v; want %v", err, fs.ErrNotExist)
	}
}

// TestPathsDamaged checks that Paths fails if a narinfo is about another path.
func TestPathsDamaged(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "none", text)
	other := "00000000000000000000000000000002.narinfo"
	f[other] = f[smallPath.Digest()+".narinfo"]
	s := open(t, f.dir(t), quickOptions())
	if paths, err := s.(profile.Lister).Paths(t.Context()); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("Paths = %q, %v; want an error about %s", paths, err, other)
	}
}

// TestPathsElsewhere checks that Paths fails if a narinfo is about a path of another store directory than the cache.
func TestPathsElsewhere(t *testing.T) {
	for _, test := range []struct{ dir, path string }{{"/nix/store", "/gnu/store"}, {"/gnu/store", "/nix/store"}} {
		f := make(files)
		f.object(t, smallPath, "none", text)
		name := smallPath.Digest() + ".narinfo"
		f[name] = bytes.Replace(f[name], []byte("/nix/store/"), []byte(test.path+"/"), 1)
		f[cacheInfoName] = []byte("StoreDir: " + test.dir + "\n")
		s := open(t, f.dir(t), quickOptions())
		paths, err := s.(profile.Lister).Paths(t.Context())
		want := fmt.Sprintf(`%s": it is about "%s/%s", but the store directory of the cache is %s`, name, test.path, smallPath.Base(), test.dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Paths = %q, %v; want an error with %q", paths, err, want)
		}
	}
}

// endless writes until the client hangs up.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := fmt.Fprintln(w, strings.Repeat("X: y\n", 1000)); err != nil {
			return
		}
	}
}

// TestEndless checks that each kind of file is given up soon if it never ends.
func TestEndless(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "none", text)
	n.FileSize, n.FileHash = 0, profile.Hash{}
	narinfo := smallPath.Digest() + ".narinfo"
	f[narinfo] = []byte(n.String())
	for name, want := range map[string]string{
		cacheInfoName: "more than 65536 bytes",
		narinfo:       "more than 1048576 bytes",
		n.URL:         "NAR at byte",
	} {
		t.Run(name, func(t *testing.T) {
			at := serve(t, &faulty{Handler: f, name: name, times: 1000, then: endless})
			begin := time.Now()
			s, err := Open(t.Context(), at, quickOptions())
			if err == nil {
				_, err = readFile(t.Context(), s, smallPath)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("endless: %v; want …%s…", err, want)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("endless took %v", took)
			}
		})
	}
}
