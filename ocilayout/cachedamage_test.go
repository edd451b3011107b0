package ocilayout

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestCacheDamage checks that a run with a damaged cache makes the right image, silently.
func TestCacheDamage(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	want := write(t, filepath.Join(t.TempDir(), "layout"), image, Name{Tag: "v1"})
	each := func(kind string, damage func(name string) error) func(t *testing.T, c *Cache) {
		return func(t *testing.T, c *Cache) {
			for _, name := range cacheFiles(t, c, kind) {
				if err := damage(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// Replace the file instead of changing its content: a link would change the layout, too.
	replace := func(change func(b []byte) []byte) func(string) error {
		return func(name string) error {
			b, err := os.ReadFile(name)
			return errors.Join(err, os.Remove(name), os.WriteFile(name, change(b), 0o644))
		}
	}
	truncate := replace(func(b []byte) []byte { return b[:len(b)/2] })
	empty := replace(func([]byte) []byte { return nil })
	flip := replace(func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	longer := replace(func(b []byte) []byte { return append(b, 'x') })
	directory := func(name string) error {
		return errors.Join(os.Remove(name), os.Mkdir(name, 0o755), os.WriteFile(filepath.Join(name, "x"), nil, 0o644))
	}
	dangling := func(name string) error { return errors.Join(os.Remove(name), os.Symlink("nowhere", name)) }
	unreadable := func(name string) error { return os.Chmod(name, 0) }

	damages := map[string]func(t *testing.T, c *Cache){
		"records of each other": func(t *testing.T, c *Cache) {
			names := cacheFiles(t, c, packedName)
			first, err := os.ReadFile(names[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names[1:] {
				if err := os.WriteFile(name, first, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		},
		"sealed nonsense": func(t *testing.T, c *Cache) {
			for _, name := range cacheFiles(t, c, partsName) {
				for _, junk := range []string{"null", "[]", `{"diffID":"sha256:../../x"}`, `{"diffID":7}`} {
					key := partsName + "/" + filepath.Base(name)
					if err := os.WriteFile(name, sealRecord(key, []byte(junk)), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
		"all of it is gone": func(t *testing.T, c *Cache) { removeAll(t, c.dir) },
		"it is a file": func(t *testing.T, c *Cache) {
			removeAll(t, c.dir)
			if err := os.WriteFile(c.dir, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"it cannot be written": func(t *testing.T, c *Cache) {
			for _, name := range cacheFiles(t, c, blobsName) {
				removeAll(t, name)
			}
			for _, dir := range []string{partsName, packedName, blobsName, "."} {
				dir = filepath.Join(c.dir, dir)
				if err := os.Chmod(dir, 0o555); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
			}
		},
	}
	for _, kind := range []string{partsName, packedName, blobsName} {
		for name, damage := range map[string]func(string) error{
			"truncated": truncate, "empty": empty, "flipped": flip, "longer": longer, "gone": os.Remove,
			"a directory": directory, "a dangling link": dangling, "unreadable": unreadable,
		} {
			damages[kind+": "+name] = each(kind, damage)
		}
		damages[kind+": no directory"] = func(t *testing.T, c *Cache) {
			removeAll(t, filepath.Join(c.dir, kind))
			if err := os.WriteFile(filepath.Join(c.dir, kind), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := Options{Cache: testCache(t, dir)}
			writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
			damage(t, o.Cache)
			for _, compression := range []string{"gzip", "none", "gzip"} {
				layout := filepath.Join(t.TempDir(), "layout")
				d, how, reasons := writeCached(t, layout, with(image, compression), o)
				verify(t, layout)
				if compression == "gzip" && d.Digest != want.Digest {
					t.Errorf("the image is %s, want %s; the layers are %s, and the reasons\n%s", d.Digest, want.Digest, how, reasons)
				}
			}
			if got := names(t, filepath.Dir(o.Cache.dir)); len(got) > 2 {
				t.Errorf("the cache has %q", got)
			}
			if _, err := OpenCache(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func removeAll(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

// TestCacheHeals checks that one run makes a damaged cache useful again.
func TestCacheHeals(t *testing.T) {
	image := with(sampleImage(t, 1), "gzip")
	o := Options{Cache: testCache(t, t.TempDir())}
	run := func(want string) {
		t.Helper()
		if _, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o); how != want {
			t.Errorf("the layers are %s, want %s; the reasons are\n%s", how, want, reasons)
		}
	}
	run("built")
	for _, kind := range []string{partsName, packedName, blobsName} {
		for _, name := range cacheFiles(t, o.Cache, kind) {
			if err := errors.Join(os.Remove(name), os.WriteFile(name, []byte("junk"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		run("built")
		run("cached")
	}
	// A blob whose time has changed is hashed once, and then trusted again.
	for _, name := range cacheFiles(t, o.Cache, blobsName) {
		if err := os.Chtimes(name, time.Time{}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	run("cached")
	for _, name := range cacheFiles(t, o.Cache, packedName) {
		var r blobRecord
		if err := o.Cache.peek(packedName+"/"+filepath.Base(name), &r); err != nil || r.ModTime != int64(time.Second) {
			t.Errorf("the record is %+v, %v", r, err)
		}
	}
}

// TestFindCache checks that inspecting or pruning a cache writes nothing.
func TestFindCache(t *testing.T) {
	dir := t.TempDir()
	c, err := FindCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := c.Usage(); err != nil || u != (Usage{}) {
		t.Errorf("Usage = %+v, %v; want nothing", u, err)
	}
	if removed, err := c.Prune(t.Context(), PruneOptions{OlderThan: 1}); err != nil || removed != (Usage{}) {
		t.Errorf("Prune = %+v, %v; want nothing", removed, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("in the directory there is %v, %v; want nothing", entries, err)
	}
	for _, dir := range []string{filepath.Join(dir, "none"), "/dev/null"} {
		if _, err := FindCache(dir); err == nil || !strings.HasPrefix(err.Error(), `open cache "`+dir+`": `) {
			t.Errorf("FindCache(%q): %v; want an error", dir, err)
		}
	}
}

// TestOpenCache checks that an impossible cache is an error that names the place.
func TestOpenCache(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{name, filepath.Join(name, "below")} {
		if _, err := OpenCache(dir); err == nil || !strings.HasPrefix(err.Error(), `open cache "`+dir+`": `) {
			t.Errorf("OpenCache(%q): %v; want an error", dir, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "new", "cache")
	testCache(t, dir)
	if b, err := os.ReadFile(filepath.Join(dir, "CACHEDIR.TAG")); err != nil || !strings.HasPrefix(string(b), "Signature: 8a477f597d28d172789f06886806bc55\n") {
		t.Errorf("CACHEDIR.TAG has %q, %v", b, err)
	}
}

// TestCacheCancel checks that a cancelled run returns that error and does not build instead.
func TestCacheCancel(t *testing.T) {
	image := sampleImage(t, 1)
	o := Options{Cache: testCache(t, t.TempDir())}
	writeCached(t, filepath.Join(t.TempDir(), "layout"), image, o)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Open(ctx, filepath.Join(t.TempDir(), "layout"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cancel()
	if _, err := l.AddImage(ctx, with(unwalked(t, image), "gzip")); !errors.Is(err, context.Canceled) {
		t.Errorf("AddImage: %v; want %v", err, context.Canceled)
	}
}

// TestCacheKill kills runs at random instants. What they leave in the cache must be usable or harmless,
// and the next run must remove the rest.
func TestCacheKill(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	cache := filepath.Join(t.TempDir(), "cache")
	env := []string{"LAYOUT_CACHE=" + cache, "LAYOUT_COMPRESSION=gzip"}
	begin := time.Now()
	if out, err := command(t, filepath.Join(t.TempDir(), "layout"), 1, "v1", env...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begin)
	kills := testrun.Of(4, 40)
	for i := range kills {
		if i%2 == 0 {
			removeAll(t, filepath.Join(cache, CacheName, []string{partsName, packedName, blobsName}[i/2%3]))
		}
		dir := filepath.Join(t.TempDir(), "layout")
		c := command(t, dir, 1, "v1", env...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(whole))))
		_ = c.Process.Kill()
		_ = c.Wait()

		out, err := command(t, dir, 1, "v1", env...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != sampleDigest {
			t.Errorf("after a kill: %s, %v; want %s", out, err, sampleDigest)
		}
		verify(t, dir)
		for _, name := range names(t, filepath.Join(cache, CacheName)) {
			if strings.HasPrefix(name, ".") {
				t.Errorf("after a kill the cache has %q", name)
			}
		}
	}
	o := Options{Cache: testCache(t, cache)}
	if _, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), unwalked(t, with(sampleImage(t, 1), "gzip")), o); how != "cached" {
		t.Errorf("in the end the layers are %s, and the reasons\n%s", how, reasons)
	}
}

// TestCacheProcesses lets several runs fill a cache at the same time.
func TestCacheProcesses(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	var runs sync.WaitGroup
	for range 6 {
		dir := filepath.Join(t.TempDir(), "layout")
		runs.Go(func() {
			out, err := command(t, dir, 1, "v1", "LAYOUT_CACHE="+cache).CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != sampleDigest {
				t.Errorf("%s, %v; want %s", out, err, sampleDigest)
			}
			verify(t, dir)
		})
	}
	runs.Wait()
	o := Options{Cache: testCache(t, cache)}
	if _, how, reasons := writeCached(t, filepath.Join(t.TempDir(), "layout"), unwalked(t, with(sampleImage(t, 1), "gzip")), o); how != "cached" || reasons != "" {
		t.Errorf("in the end the layers are %s, and the reasons\n%s", how, reasons)
	}
}
