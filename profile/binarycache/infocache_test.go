package binarycache

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestInfoCache checks when a later run fetches a narinfo again.
func TestInfoCache(t *testing.T) {
	name := smallPath.Digest() + ".narinfo"
	for _, test := range []struct {
		name   string
		change func(t *testing.T, f files, file string) // between two runs
		asked  int64
		err    string
	}{
		{"nothing happens", func(*testing.T, files, string) {}, 0, ""},
		{"the file is gone", func(t *testing.T, _ files, file string) { rewrite(t, file, nil) }, 1, ""},
		{"the file is cut off", func(t *testing.T, _ files, file string) {
			rewrite(t, file, func(b []byte) []byte { return b[:len(b)/2] })
		}, 1, ""},
		{"the file is about another path", func(t *testing.T, _ files, file string) {
			rewrite(t, file, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("-small"), []byte("-other")) })
		}, 1, ""},
		{"the file has an extra line", func(t *testing.T, _ files, file string) {
			rewrite(t, file, func(b []byte) []byte { return append(b, "X: y\n"...) })
		}, 1, ""},
		{"the NAR has moved", func(_ *testing.T, f files, _ string) {
			n, _ := ParseNarInfo(f[name])
			f["nar/new"] = f[n.URL]
			delete(f, n.URL)
			n.URL = "nar/new"
			f[name] = []byte(n.String())
		}, 1, ""},
		{"the object was replaced", func(t *testing.T, f files, _ string) {
			n, _ := ParseNarInfo(f[name])
			delete(f, n.URL)
			f.object(t, smallPath, "gzip", []byte("other"))
		}, 1, "has replaced it"},
		{"the NAR is gone", func(_ *testing.T, f files, _ string) {
			n, _ := ParseNarInfo(f[name])
			delete(f, n.URL)
		}, 1, "status 404"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := make(files)
			f.object(t, smallPath, "gzip", text)
			h := &faulty{Handler: f, name: name, times: 1 << 30, then: f.ServeHTTP}
			at := serve(t, h)
			o := quickOptions()
			o.CacheDir = filepath.Join(t.TempDir(), "made/when/needed")
			want, err := open(t, at, o).Info(t.Context(), smallPath)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := filepath.Glob(filepath.Join(o.CacheDir, "*", name))
			if err != nil || len(kept) != 1 {
				t.Fatalf("cached files: %q, %v; want one", kept, err)
			}
			test.change(t, f, kept[0])
			h.seen.Store(0)
			s := open(t, at, o)
			info, err := s.Info(t.Context(), smallPath)
			if err != nil || info.NarHash != want.NarHash {
				t.Errorf("Info = %v, %v; want %v", info, err, want)
			}
			b, err := readFile(t.Context(), s, smallPath)
			switch {
			case test.err == "" && (err != nil || !bytes.Equal(b, text)):
				t.Errorf("Files = %q, %v; want the whole content", b, err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("Files = %q, %v; want …%s", b, err, test.err)
			}
			if got := h.seen.Load(); got != test.asked {
				t.Errorf("the narinfo was fetched %d times; want %d", got, test.asked)
			}
		})
	}
}

// rewrite changes a file, or removes it.
func rewrite(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if change == nil {
		err = os.Remove(name)
	} else {
		err = os.WriteFile(name, change(b), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestInfoCacheMiss checks what is not cached: missing objects and other servers' narinfos.
// It also checks the removal of old temporary files, and a cache that cannot be written.
func TestInfoCacheMiss(t *testing.T) {
	f := make(files)
	f[cacheInfoName] = []byte("StoreDir: /nix/store\n")
	at := serve(t, f)
	o := quickOptions()
	o.CacheDir = t.TempDir()
	if _, err := open(t, at, o).Info(t.Context(), smallPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info = %v; want %v", err, fs.ErrNotExist)
	}
	f.object(t, smallPath, "gzip", text)
	if _, err := open(t, at, o).Info(t.Context(), smallPath); err != nil {
		t.Errorf("Info of a path that was missing before = %v", err)
	}

	// Another server has a cache of its own; the same server with a login does not.
	other := serve(t, files{cacheInfoName: f[cacheInfoName]})
	if _, err := open(t, other, o).Info(t.Context(), smallPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of another server = %v; want %v", err, fs.ErrNotExist)
	}
	open(t, strings.Replace(at, "http://", "http://user:secret@", 1)+"/", o)
	dirs, err := os.ReadDir(o.CacheDir)
	if err != nil || len(dirs) != 1 {
		t.Errorf("cache directories: %v, %v; want one", dirs, err)
	}

	// Old files of killed runs are removed.
	dir := filepath.Join(o.CacheDir, dirs[0].Name())
	for name, age := range map[string]time.Duration{"x.new-1": 2 * time.Hour, "x.new-2": 0} {
		name = filepath.Join(dir, name)
		when := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, at, o)
	if _, err := os.Stat(filepath.Join(dir, "x.new-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old temporary file: %v; want it removed", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x.new-2")); err != nil {
		t.Errorf("new temporary file of another run: %v; want it kept", err)
	}

	// A cache that cannot be written does no harm.
	o.CacheDir = "/dev/null/x"
	if _, err := open(t, at, o).Info(t.Context(), smallPath); err != nil {
		t.Errorf("Info with an unwritable cache = %v", err)
	}
}

// TestRefresh checks that Refresh replaces a narinfo from an earlier run, and fetches it only once.
func TestRefresh(t *testing.T) {
	f := make(files)
	n := f.object(t, smallPath, "gzip", text)
	name := smallPath.Digest() + ".narinfo"
	h := &faulty{Handler: f, name: name, times: 1 << 30, then: http.HandlerFunc(f.ServeHTTP)}
	at := serve(t, h)
	o := quickOptions()
	o.CacheDir = t.TempDir()
	if _, err := open(t, at, o).Info(t.Context(), smallPath); err != nil {
		t.Fatal(err)
	}
	n.Signatures = []string{"new:x"}
	f[name] = []byte(n.String())
	s := open(t, at, o).(*Store)
	if info, err := s.Info(t.Context(), smallPath); err != nil || len(info.Signatures) != 0 {
		t.Errorf("Info = %v, %v; want the cached narinfo", info, err)
	}
	for range 2 {
		if info, err := s.Refresh(t.Context(), smallPath); err != nil || len(info.Signatures) != 1 {
			t.Errorf("Refresh = %v, %v; want the new narinfo", info, err)
		}
	}
	if got := h.seen.Load(); got != 2 {
		t.Errorf("the narinfo was fetched %d times; want 2", got)
	}
}

// TestInfoCacheRotten checks that a cached narinfo whose NAR hash rotted fails only one run, and what VerifyInfos can tell.
func TestInfoCacheRotten(t *testing.T) {
	f := make(files)
	f.object(t, smallPath, "gzip", text)
	at := serve(t, f)
	o := quickOptions()
	o.CacheDir = t.TempDir()
	info, err := open(t, at, o).Info(t.Context(), smallPath)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(o.CacheDir, "*", "*.narinfo"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("cached files: %q, %v; want one", kept, err)
	}
	other := *info
	other.NarHash[0] ^= 1
	rewrite(t, kept[0], func(b []byte) []byte {
		return bytes.Replace(b, []byte(info.NarHash.String()), []byte(other.NarHash.String()), 1)
	})
	if _, err := readFile(t.Context(), open(t, at, o), smallPath); err == nil {
		t.Error("a rotten NAR hash is accepted")
	}
	if b, err := readFile(t.Context(), open(t, at, o), smallPath); err != nil || !bytes.Equal(b, text) {
		t.Errorf("the next run reads %q, %v; want the whole content", b, err)
	}

	if removed, err := VerifyInfos(t.Context(), o.CacheDir); err != nil || len(removed) > 0 {
		t.Errorf("VerifyInfos of a good cache = %q, %v; want nothing", removed, err)
	}
	rewrite(t, kept[0], func(b []byte) []byte { return append(b, 'x') })
	if removed, err := VerifyInfos(t.Context(), o.CacheDir); err != nil || len(removed) != 1 || filepath.Join(o.CacheDir, removed[0]) != kept[0] {
		t.Errorf("VerifyInfos = %q, %v; want %q", removed, err, kept[0])
	}
}
