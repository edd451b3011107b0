package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestParallelLayers checks that NARs of different layers are fetched and decompressed at the same time.
// The server sends one only after a request for the other.
func TestParallelLayers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // so that two layers are built at once
	s := storetest.New("together")
	held := make(map[string]bool)
	for _, name := range []string{"a", "b"} {
		p := s.Add(t, name, "", "f 0444 . "+strings.Repeat(name+" of some size\n", 1<<16))
		info, err := s.Info(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		held["/nar/"+info.NarHash.Hex()+".nar"] = true
	}
	s.Root = s.Add(t, "top", "a b", "d .", "f 0444 refs "+string(storetest.PathOf("a"))+" "+string(storetest.PathOf("b")))

	files := http.FileServer(http.Dir(s.WriteCache(t, "zstd")))
	var mu sync.Mutex
	open := make(map[string]bool)
	both := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if held[r.URL.Path] {
			mu.Lock()
			if !open[r.URL.Path] {
				if open[r.URL.Path] = true; len(open) == len(held) {
					close(both)
				}
			}
			mu.Unlock()
			select {
			case <-both:
			case <-time.After(20 * time.Second):
				t.Errorf("%s was requested, but the other NAR was not", r.URL.Path)
			}
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	succeed(t, "", append([]string{"image"}, append(fromFlags(server.URL, "--no-check-sigs", "--profile", string(s.Root)), "--quiet", "--no-cache", "--cache="+t.TempDir(),
		"--platform=linux/amd64", "--layers=per-path", "oci:"+filepath.Join(t.TempDir(), "x"))...)...)
}
