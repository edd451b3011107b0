package binarycache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// narCounter counts the requests for NARs.
type narCounter struct {
	http.Handler
	n atomic.Int64
}

func (c *narCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/nar/") {
		c.n.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}

const helloPath = profile.Path("/nix/store/" + hello)

// names walks up to n entries of a tree without opening a file. A negative n sets no limit.
func names(t testing.TB, tree rootfs.Tree, n int) int {
	t.Helper()
	i := 0
	for _, err := range tree {
		if err != nil {
			t.Errorf("walk without contents: %v", err)
		}
		if i++; i == n {
			break
		}
	}
	return i
}

// TestFetches checks how often a NAR is fetched for various sequences of walks.
func TestFetches(t *testing.T) {
	listing := func(t *testing.T, tree rootfs.Tree) { names(t, tree, -1) }
	peek := func(t *testing.T, tree rootfs.Tree) { names(t, tree, 1) }
	lastFile := func(t *testing.T, tree rootfs.Tree) {
		for e, err := range tree {
			if err != nil {
				t.Error(err)
			} else if strings.HasSuffix(e.Path, "/share/doc/hello/README") || strings.HasSuffix(e.Path, "hello.1") {
				r, err := e.Open()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(r); err != nil {
					t.Error(err)
				}
				break
			}
		}
	}
	build := func(t *testing.T, tree rootfs.Tree) {
		if lines, err := storetest.List(tree); err != nil || len(lines) == 0 {
			t.Errorf("List = %q, %v", lines, err)
		}
	}
	firstFile := func(t *testing.T, tree rootfs.Tree) {
		for e, err := range tree {
			if err != nil {
				t.Error(err)
			} else if e.IsRegular() && e.Size > 0 {
				r, err := e.Open()
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				break
			}
		}
	}
	for _, test := range []struct {
		name  string
		walks []func(*testing.T, rootfs.Tree)
		want  int64
	}{
		{"a build", []func(*testing.T, rootfs.Tree){build}, 1},
		{"a listing and a build", []func(*testing.T, rootfs.Tree){listing, build}, 1},
		{"a listing, a look and two builds", []func(*testing.T, rootfs.Tree){listing, lastFile, firstFile, build, build}, 1},
		{"a look at the first entry and a build", []func(*testing.T, rootfs.Tree){peek, build}, 1},
		{"a look at the first file and a build", []func(*testing.T, rootfs.Tree){firstFile, build}, 2},
		{"two builds", []func(*testing.T, rootfs.Tree){build, build}, 2},
		{"two builds, a listing and a build", []func(*testing.T, rootfs.Tree){build, build, listing, build}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &narCounter{Handler: golden(t)}
			o := quickOptions()
			o.SpoolDir = filepath.Join(t.TempDir(), "made/when/needed")
			tree := open(t, serve(t, c), o).Files(t.Context(), helloPath)
			for _, walk := range test.walks {
				walk(t, tree)
			}
			if got := c.n.Load(); got != test.want {
				t.Errorf("the NAR was fetched %d times; want %d", got, test.want)
			}
			if left, err := os.ReadDir(o.SpoolDir); len(left) > 0 || err != nil && test.name != "a build" && test.name != "two builds" && !os.IsNotExist(err) {
				t.Errorf("spool directory contains %v, %v; want no named file", left, err)
			}
		})
	}
}

// TestSpoolDamaged checks that a damaged NAR is never spooled, and that a complete walk reports the damage.
func TestSpoolDamaged(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	wrong := bytes.Clone(text)
	wrong[100] ^= 1
	h := &faulty{Handler: f, name: n.URL, times: 1, then: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(compress(t, "gzip", narOf(t, smallPath, wrong)))
	}}
	n.FileSize, n.FileHash = 0, profile.Hash{}
	f[smallPath.Digest()+".narinfo"] = []byte(n.String())
	s := open(t, serve(t, h), quickOptions())
	names(t, s.Files(t.Context(), smallPath), 1) // stops before the damage
	if b, err := readFile(t.Context(), s, smallPath); err != nil || !bytes.Equal(b, text) {
		t.Errorf("after a partial walk of a damaged NAR: %q, %v; want the whole content", b, err)
	}
	h.seen.Store(0)
	s = open(t, serve(t, h), quickOptions())
	var wanted *nar.HashError
	var last error
	for _, err := range s.Files(t.Context(), smallPath) {
		last = err
	}
	if !errors.As(last, &wanted) {
		t.Errorf("listing a damaged NAR = %v; want a HashError", last)
	}
}

// TestSpoolRegions checks that concurrent walks of several objects don't mix their regions.
func TestSpoolRegions(t *testing.T) {
	f := golden(t)
	s := open(t, serve(t, f), quickOptions())
	infos := storetest.GoldenInfos(t)
	var group sync.WaitGroup
	for range 3 {
		for _, info := range infos {
			group.Go(func() { names(t, s.Files(t.Context(), info.Path), -1) })
			group.Go(func() {
				if hash, size, err := nar.Sum(s.Files(t.Context(), info.Path), info.Path.Root()); hash != info.NarHash || size != info.NarSize || err != nil {
					t.Errorf("Sum(%q) = %v, %d, %v", info.Path, hash, size, err)
				}
			})
		}
	}
	group.Wait()
	storetest.Golden(t, s)
}

// TestSpoolImpossible checks that an unusable spool directory fails only walks that need it.
func TestSpoolImpossible(t *testing.T) {
	f := golden(t)
	o := quickOptions()
	o.SpoolDir = "/dev/null/x"
	s := open(t, serve(t, f), o)
	if lines, err := storetest.List(s.Files(t.Context(), helloPath)); err != nil {
		t.Errorf("build with an unusable spool directory = %q, %v; want success", lines, err)
	}
	var last error
	for _, err := range s.Files(t.Context(), helloPath) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "spool NAR") {
		t.Errorf("listing with an unusable spool directory = %v; want an error", last)
	}
}

// TestCancelled checks that a cancelled context ends the reading of a file.
func TestCancelled(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "none", bytes.Repeat(text, 10_000))
	for _, at := range []string{f.dir(t), serve(t, f)} {
		ctx, cancel := context.WithCancel(t.Context())
		s := open(t, at, quickOptions())
		var err error
		for e, walkErr := range s.Files(ctx, smallPath) {
			if err = walkErr; err != nil {
				break
			}
			r, openErr := e.Open()
			if openErr != nil {
				t.Fatal(openErr)
			}
			cancel()
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while reading a file of %q: %v; want %v", at, err, context.Canceled)
		}
		cancel()
	}
}

// TestClosed checks that walking a tree of a closed store does not panic.
func TestClosed(t *testing.T) {
	s, err := Open(t.Context(), serve(t, golden(t)), quickOptions())
	if err != nil {
		t.Fatal(err)
	}
	names(t, s.Files(t.Context(), helloPath), -1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for e := range s.Files(t.Context(), helloPath) {
		_ = e
	}
}

// TestMemory checks that a large NAR is not held in memory.
func TestMemory(t *testing.T) {
	const size = 128 << 20
	content := func(yield func(rootfs.Entry, error) bool) {
		yield(rootfs.File(smallPath.Root(), 0o444, size, func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(zeros{}, size)), nil
		}), nil)
	}
	hash, narSize, err := nar.Sum(content, smallPath.Root())
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nar.Write(z, content, smallPath.Root()), z.Close()); err != nil {
		t.Fatal(err)
	}
	f := files{cacheInfoName: []byte("StoreDir: /nix/store\n")}
	n := &NarInfo{Location: Location{Compression: "zstd"}}
	n.Path, n.NarHash, n.NarSize = smallPath, hash, narSize
	f.add(n, packed.Bytes())
	z = nil
	s := open(t, serve(t, f), quickOptions())
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	idle, most := m.HeapAlloc, uint64(0)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	})
	names(t, s.Files(t.Context(), smallPath), -1) // spools the NAR
	got, _, err := nar.Sum(s.Files(t.Context(), smallPath), smallPath.Root())
	close(done)
	group.Wait()
	if got != hash || err != nil {
		t.Errorf("Sum = %v, %v; want %v", got, err, hash)
	}
	t.Logf("heap: %d MiB idle, %d MiB at most", idle>>20, most>>20)
	if most > idle+(64<<20)+(8<<20) {
		t.Errorf("heap grew from %d to %d MiB", idle>>20, most>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
