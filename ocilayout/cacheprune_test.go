package ocilayout

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// age makes everything in a cache look unused for a time.
func age(t *testing.T, c *Cache, unused time.Duration) {
	t.Helper()
	then := time.Now().Add(-unused)
	for _, kind := range []string{partsName, packedName} {
		for _, name := range cacheFiles(t, c, kind) {
			if err := os.Chtimes(name, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func usage(t *testing.T, c *Cache) Usage {
	t.Helper()
	u, err := c.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestCachePrune checks that used records stay, and that unused ones go with their blobs.
func TestCachePrune(t *testing.T) {
	c := testCache(t, t.TempDir())
	if u := usage(t, c); u != (Usage{}) {
		t.Errorf("at first Usage = %+v", u)
	}
	if removed, err := c.Prune(t.Context(), PruneOptions{}); err != nil || removed != (Usage{}) {
		t.Errorf("Prune of an empty cache = %+v, %v", removed, err)
	}
	o := Options{Cache: c}
	dir := filepath.Join(t.TempDir(), "layout")
	writeCached(t, dir, sampleImage(t, 1), o)
	one := usage(t, c)
	if one.Layers != 3 || one.Blobs != 3 || one.Bytes == 0 || one.Shared != one.Bytes || time.Since(one.Oldest) > time.Minute {
		t.Errorf("Usage = %+v", one)
	}
	age(t, c, 40*24*time.Hour)
	writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, 2), o) // shares two layers with the other image
	two := usage(t, c)
	if two.Layers != 4 || two.Blobs != 4 {
		t.Errorf("Usage = %+v", two)
	}
	if removed, err := c.Prune(t.Context(), PruneOptions{OlderThan: 50 * 24 * time.Hour}); err != nil || removed != (Usage{}) {
		t.Errorf("Prune of older records = %+v, %v; want nothing", removed, err)
	}
	removed, err := c.Prune(t.Context(), PruneOptions{})
	left := usage(t, c)
	if err != nil || removed.Layers != 1 || removed.Blobs != 1 || left.Layers != 3 || removed.Bytes+left.Bytes != two.Bytes {
		t.Errorf("Prune = %+v, %v; left is %+v of %+v", removed, err, left, two)
	}
	if _, how, _ := writeCached(t, filepath.Join(t.TempDir(), "layout"), unwalked(t, sampleImage(t, 2)), o); how != "cached" {
		t.Errorf("after Prune the layers are %s, want cached", how)
	}
	verify(t, dir) // the links go, the files stay

	largest := int64(0)
	for _, name := range cacheFiles(t, c, blobsName) {
		if fi, err := os.Stat(name); err == nil {
			largest = max(largest, fi.Size())
		}
	}
	if _, err := c.Prune(t.Context(), PruneOptions{MaxSize: largest}); err != nil {
		t.Fatal(err)
	}
	if u := usage(t, c); u.Bytes > largest || u.Blobs == 0 {
		t.Errorf("Prune to %d bytes leaves %+v", largest, u)
	}
	if _, err := c.Prune(t.Context(), PruneOptions{OlderThan: 1}); err != nil {
		t.Fatal(err)
	}
	if u := usage(t, c); u != (Usage{}) {
		t.Errorf("Prune of all leaves %+v", u)
	}
	writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, 1), o)
}

// TestCachePruneOdd checks that useless files go, but that a blob whose record may be about to appear stays.
func TestCachePruneOdd(t *testing.T) {
	c := testCache(t, t.TempDir())
	writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, 1), Options{Cache: c})
	name := cacheFiles(t, c, packedName)[0]
	if err := os.WriteFile(name, []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if removed, err := c.Prune(t.Context(), PruneOptions{}); err != nil || removed != (Usage{}) {
		t.Errorf("Prune = %+v, %v; want nothing but a record removed", removed, err)
	}
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("a damaged record is still there: %v", err)
	}
	if u := usage(t, c); u.Blobs != 3 {
		t.Errorf("Usage = %+v", u)
	}
}

// TestCacheTrim checks that runs prune once a day, and note what they use once an hour.
func TestCacheTrim(t *testing.T) {
	c := testCache(t, t.TempDir())
	run := func(generation int) {
		writeCached(t, filepath.Join(t.TempDir(), "layout"), sampleImage(t, generation), Options{Cache: c})
	}
	run(1)
	run(2)
	age(t, c, 40*24*time.Hour)
	run(1)
	if u := usage(t, c); u.Layers != 4 {
		t.Errorf("on the same day there are %+v", u)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(c.dir, "trimmed"), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	run(1)
	if u := usage(t, c); u.Layers != 3 || time.Since(u.Oldest) > time.Minute {
		t.Errorf("on the next day there are %+v", u)
	}
	for unused, noted := range map[time.Duration]bool{2 * time.Hour: true, 30 * time.Minute: false} {
		age(t, c, unused)
		run(1)
		if u := usage(t, c); time.Since(u.Oldest) < time.Minute != noted {
			t.Errorf("used after %v, the oldest is of %v", unused, u.Oldest)
		}
	}
}
