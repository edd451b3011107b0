package ocilayout

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestForecast checks that layers come from where Forecast says.
func TestForecast(t *testing.T) {
	cache := testCache(t, t.TempDir())
	image := sampleImage(t, 1)
	check := func(what string, image ImageSpec) {
		t.Helper()
		var before []string
		for _, f := range cache.Forecast(image.Layers, image.Compression) {
			before = append(before, f.How.String())
		}
		want := strings.Join(slices.Compact(before), " ")
		if _, hows, _ := writeCached(t, filepath.Join(t.TempDir(), "layout"), image, Options{Cache: cache}); hows != want {
			t.Errorf("%s: Forecast says %q, and AddImage does %q", what, want, hows)
		}
	}
	check("empty", image)
	check("known", image)
	check("other compression", with(image, "zstd"))
	if err := os.RemoveAll(filepath.Join(cache.dir, blobsName)); err != nil {
		t.Fatal(err)
	}
	check("blobs are gone", image)
	for _, f := range (*Cache)(nil).Forecast(image.Layers, image.Compression) {
		if f.How != Built {
			t.Errorf("without a cache: %v; want built", f.How)
		}
	}
}
