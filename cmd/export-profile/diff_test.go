package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestDiffChunks checks that diff says the same of images in a layout, an archive and a registry with ranges,
// that it reads no whole layers, and that it says why it does not know what a registry without ranges sends.
func TestDiffChunks(t *testing.T) {
	reg, address := newFakeRegistry(t)
	var ranges atomic.Bool // whether the registry answers requests for a part of a blob
	reg.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !ranges.Load() || !strings.Contains(r.URL.Path, "/blobs/") || r.Method != http.MethodGet || r.Header.Get("Range") == "" {
			return false
		}
		reg.mu.Lock()
		defer reg.mu.Unlock()
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(reg.blobs[strings.TrimPrefix(r.URL.Path, "/v2/")]))
		return true
	}
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	golden := storetest.File(t, "basic.nix-export")
	diff := func(a, b string) (text string, l layerDifference) {
		t.Helper()
		var out, stderr bytes.Buffer
		if status := run(t.Context(), []string{"diff", a, b}, terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatal(stderr.String())
		}
		text = out.String()
		out.Reset()
		if status := run(t.Context(), []string{"diff", "--json", a, b}, terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatal(stderr.String())
		}
		var d difference
		if err := json.Unmarshal(out.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		return text, *d.Layers
	}
	places := []string{"oci:" + filepath.Join(dir, "layout"), "oci-archive:" + filepath.Join(dir, "archive"), "docker://" + address + "/x"}
	for _, place := range places {
		for tag, more := range map[string][]string{"v1": nil, "v2": {"--symlink", "/etc:/opt", "--add-user", "app:1000"}} {
			to := place + ":" + tag
			if strings.HasPrefix(place, "oci-archive:") {
				to = place + tag
			}
			args := append([]string{"image", "--quiet", "--no-cache", "--from", golden, "--compression", "zstd:chunked", to}, more...)
			if out, status := verifyRun(t, args...); status != 0 {
				t.Fatal(out)
			}
		}
	}
	text, want := diff(places[0]+":v1", places[0]+":v2")
	c := want.Chunks
	if c == nil || c.Contents <= 0 || c.Ranges <= 0 || c.Tables <= 0 || c.Whole <= 0 || c.Contents+c.Tables+c.Whole != c.Fetch || !strings.Contains(text, "\nby chunks: it fetches "+c.String()+"\n") {
		t.Fatalf("diff prints %q, and %+v in JSON", text, c)
	}
	if text, got := diff(places[1]+"v1", places[1]+"v2"); !reflect.DeepEqual(want, got) {
		t.Errorf("of archives, diff prints %q", text)
	}
	inRegistry := places[2]
	if text, got := diff(inRegistry+":v1", inRegistry+":v2"); got.Chunks != nil || !strings.Contains(got.ChunksUnknown, "the registry sends only whole blobs") ||
		!strings.Contains(text, "\nby chunks: what it fetches is unknown: layer ") {
		t.Errorf("of a registry without ranges, diff prints %q", text)
	}
	ranges.Store(true)
	if text, got := diff(inRegistry+":v1", inRegistry+":v2"); !reflect.DeepEqual(want, got) {
		t.Errorf("of a registry with ranges, diff prints %q", text)
	}

	// image says the same when it has made an update, with and without a cache.
	for _, place := range places {
		for _, cache := range []string{"--no-cache", "--cache=" + filepath.Join(dir, "cache")} {
			previous, to := place+":v1", place+":v3"
			if strings.HasPrefix(place, "oci-archive:") {
				previous, to = places[0]+":v1", place+"v3"
			}
			var out, stderr bytes.Buffer
			args := []string{"image", "--json", cache, "--from", golden, "--compression", "zstd:chunked", "--symlink", "/etc:/opt", "--tag", "v3", "--previous", previous, to}
			if strings.HasPrefix(place, "oci-archive:") {
				args[10] = "x:v3"
			}
			if status := run(t.Context(), args, terminal{out: &out, err: &stderr}); status != 0 {
				t.Fatal(stderr.String())
			}
			var made struct {
				Previous imageUpdate `json:"previous"`
			}
			if err := json.Unmarshal(out.Bytes(), &made); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(place, "oci-archive:") {
				previous = place + "v1"
			}
			_, want := diff(previous, to)
			if got := made.Previous.fetchedChunks; want.Chunks == nil || !reflect.DeepEqual(got, want.fetchedChunks) {
				t.Errorf("image %s %s says %+v; want %+v, as diff does", cache, to, got, want.fetchedChunks)
			}
			if note, said := "note: by chunks: it fetches "+want.Chunks.String()+"\n", messages(t, stderr.String()); !strings.Contains(said, note) {
				t.Errorf("image %s %s says %q; want %q", cache, to, said, note)
			}
		}
	}
}
