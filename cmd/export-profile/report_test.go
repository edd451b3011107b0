package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestReportDiff checks that the page of two images says the same as diff: the bytes to fetch, by layers and by chunks,
// the numbers of layers, and the packages and store paths that changed. It changes layers from and to those of another compression.
func TestReportDiff(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	result := func(into any, args ...string) {
		t.Helper()
		var out, stderr bytes.Buffer
		if status := run(t.Context(), append(args, "--quiet"), terminal{out: &out, err: &stderr}); status != 0 {
			t.Fatalf("%q: %s", args, stderr.String())
		}
		if into != nil {
			if err := json.Unmarshal(out.Bytes(), into); err != nil {
				t.Fatal(err)
			}
		}
	}
	hello := "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	for tag, args := range map[string][]string{
		"small":  {"--profile", hello, "--platform", "linux/amd64", "--compression", "zstd:chunked", "--layers", "per-path"},
		"all":    {"--compression", "zstd:chunked", "--layers", "per-path"},
		"single": {"--compression", "zstd:chunked", "--layers", "single", "--add-user", "app:1000"},
		"plain":  {"--compression", "gzip", "--layers", "per-path"},
	} {
		result(nil, append([]string{"image", "--no-cache", "--from", golden, "oci:x:" + tag}, args...)...)
	}
	for _, pair := range [][2]string{{"small", "all"}, {"all", "small"}, {"all", "single"}, {"plain", "all"}, {"all", "plain"}, {"all", "all"}} {
		var d difference
		result(&d, "diff", "--json", "oci:x:"+pair[0], "oci:x:"+pair[1])
		var page struct {
			Image    struct{ Digest string }
			Previous struct {
				Image struct {
					Digest string
					Blobs  int64 `json:"blobBytes"`
				}
				Fetch struct {
					Layers int64       `json:"layerBytes"`
					Had    int64       `json:"hadBytes"`
					Chunks *chunkFetch `json:"chunks"`
				}
				Layers   []struct{ What string }
				Packages []struct {
					Package       string
					Before, After int64
				}
				Paths []struct{ What, Before, Now string }
			}
		}
		result(&page, "report", "--no-cache", "--json", "oci:x:"+pair[0], "oci:x:"+pair[1], "-")
		p := page.Previous
		if page.Image.Digest != d.B.Digest || p.Image.Digest != d.A.Digest || p.Image.Blobs != d.A.Size {
			t.Errorf("%v: the page is about %s and %s of %d bytes; diff says %+v", pair, page.Image.Digest, p.Image.Digest, p.Image.Blobs, d)
		}
		if c := p.Fetch.Chunks; c != nil { // the page has no sum
			c.Fetch = c.Contents + c.Tables + c.Whole
		}
		if p.Fetch.Layers != d.Layers.Fetch || p.Fetch.Had != d.Layers.Had || !cmp.Equal(p.Fetch.Chunks, d.Layers.Chunks) {
			t.Errorf("%v: the page says %+v is to be fetched; diff says %+v", pair, p.Fetch, d.Layers)
		}
		layers := make(map[string]int)
		for _, l := range p.Layers {
			layers[l.What]++
		}
		if layers["same"] != d.Layers.Shared || layers["new"]+layers["replaced"] != d.Layers.Added || layers["gone"]+layers["replaced"] != d.Layers.Removed {
			t.Errorf("%v: the page has the layers %v; diff says %+v", pair, layers, d.Layers)
		}
		var packages []string
		for _, c := range p.Packages {
			packages = append(packages, c.Package)
		}
		var want []string
		for _, c := range d.Packages {
			want = append(want, c.Name)
		}
		if diff := cmp.Diff(want, packages); diff != "" {
			t.Errorf("%v: packages (-diff +page):\n%s", pair, diff)
		}
		added, removed := 0, 0
		for _, c := range p.Paths {
			if c.Now != "" && c.What != "altered" {
				added++
			}
			if c.Before != "" && c.What != "altered" {
				removed++
			}
		}
		if added != len(d.Added) || removed != len(d.Removed) || len(p.Paths) > added+removed {
			t.Errorf("%v: the page has %d new and %d removed store paths; diff has %d and %d", pair, added, removed, len(d.Added), len(d.Removed))
		}
	}
}

func TestWithoutDir(t *testing.T) {
	_, missing := os.Open("/home/jane/web/blobs/sha256/abc")
	for want, err := range map[string]error{
		"layer 2 of the first image: open abc: no such file or directory": fmt.Errorf("layer 2 of the first image: %w", missing),
		"read a/b: it sends no ranges":                                    errors.New("read a/b: it sends no ranges"),
	} {
		if got := withoutDir(err); got != want {
			t.Errorf("withoutDir(%v) = %q; want %q", err, got, want)
		}
	}
}

// TestSourceWords checks that the page names no directory of this machine and no login.
func TestSourceWords(t *testing.T) {
	for want, from := range map[string][]string{
		"this machine's store":            nil,
		"hello.export":                    {"/home/jane/secret project/hello.export"},
		"result":                          {"./result/"},
		"standard input":                  {"-"},
		"cache.example.com/x, store":      {"https://jane:password@cache.example.com/x?token=1", "../store"},
		"cache.example.com:8080, a.cache": {"http://cache.example.com:8080", "file:///var/a.cache"},
	} {
		if got := sourceWords(from); got != want {
			t.Errorf("sourceWords(%q) = %q; want %q", from, got, want)
		}
	}
	for word, want := range map[string]string{
		"oci:/home/jane/hello:v1": "hello:v1", "docker://registry.example.com:5000/team/hello:v1": "registry.example.com:5000/team/hello:v1",
		"oci-archive:../x/hello.tar": "hello.tar", "oci:.": ".",
	} {
		if got := imageTitle(word); got != want {
			t.Errorf("imageTitle(%q) = %q; want %q", word, got, want)
		}
	}
}
