package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestVerifyPrevious checks that --verify-previous builds wrong layers of a previous image again.
func TestVerifyPrevious(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	original := filepath.Join(t.TempDir(), "image")
	args := []string{"image", "--no-cache", "--layers", "per-path", "--from", golden}
	digested, status := verifyRun(t, append(args, "--quiet", "oci:"+original)...)
	if status != 0 {
		t.Fatal(digested)
	}
	image := func(previous, to string, more ...string) (stdout, stderr string, status int) {
		var out, err bytes.Buffer
		words := append(append(args[:len(args):len(args)], "--previous", "oci:"+previous), more...)
		status = run(t.Context(), append(words, "oci:"+to), terminal{out: &out, err: &err})
		return out.String(), err.String(), status
	}
	swap := func(f *tarFile) { f.content = bytes.ToUpper(f.content) }
	for _, tt := range []struct {
		name  string
		plant func(p *testImage)
		taken int // exit status of verify for the image made without --verify-previous; 1 if none is made
	}{
		{"nothing", func(p *testImage) {}, 0},
		{"a file", func(p *testImage) { p.editFile("hello-1.0", "bin/hello", swap) }, 3},
		{"a mode", func(p *testImage) { p.editFile("hello-1.0", "bin/hello", func(f *tarFile) { f.Mode = 0o4555 }) }, 3},
		{"an added file", func(p *testImage) { p.insert("hello-1.0", "bin/hello", regular(helloPath+"/bin/hello2", "x")) }, 3},
		{"a base file", func(p *testImage) {
			p.editFile("base", "etc/passwd", func(f *tarFile) { f.content = append(f.content, "evil::0:0::/:\n"...) })
		}, 3},
		{"a diffID", func(p *testImage) { p.config.RootFS.DiffIDs[p.layer("hello-1.0")] = digest.FromString("x"); p.save() }, 3},
		{"a blob", func(p *testImage) { p.damage(p.blob(p.manifest.Layers[p.layer("hello-1.0")].Digest)) }, 1},
		{"all layers", func(p *testImage) {
			for i := range p.manifest.Layers {
				p.edit(i, func(files []tarFile) []tarFile { return append(files, regular("zzz", "x")) })
			}
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := &testImage{t: t, dir: filepath.Join(dir, "image")}
			p.must(os.CopyFS(p.dir, os.DirFS(original)))
			p.load()
			tt.plant(p)

			_, stderr, status := image(p.dir, filepath.Join(dir, "unverified"))
			if status == 0 {
				_, status = verifyRun(t, "verify", "oci:"+filepath.Join(dir, "unverified"))
			}
			if status != tt.taken {
				t.Errorf("without --verify-previous: %d; want %d: %s", status, tt.taken, stderr)
			}

			stdout, stderr, status := image(p.dir, filepath.Join(dir, "verified"), "--verify-previous")
			if status != 0 {
				t.Fatalf("--verify-previous: %d: %s", status, stderr)
			}
			if out, status := verifyRun(t, "verify", "oci:"+filepath.Join(dir, "verified")); status != 0 {
				t.Errorf("after --verify-previous, verify says: %s", out)
			}
			if said := strings.Contains(stderr, "did not keep"); said == (tt.taken == 0) || tt.taken == 0 && stdout != digested {
				t.Errorf("image %s with notes %s; want %s, all layers kept: %v", stdout, stderr, digested, tt.taken == 0)
			}
		})
	}
}

// TestPreviousNote checks that a note counts the unverified layers that are kept from a registry.
func TestPreviousNote(t *testing.T) {
	golden := storetest.File(t, "basic.nix-export")
	dir := filepath.Join(t.TempDir(), "image")
	args := []string{"image", "--no-cache", "--layers", "per-path", "--from", golden}
	if out, status := verifyRun(t, append(args, "--quiet", "oci:"+dir)...); status != 0 {
		t.Fatal(out)
	}
	registry := serveLayout(t, dir)
	const word = "of the previous image unverified; --verify-previous checks them"
	for _, tt := range []struct {
		more []string
		said bool
	}{{nil, true}, {[]string{"--verify-previous"}, false}, {[]string{"--quiet"}, false}} {
		var out, stderr bytes.Buffer
		words := append(append(args[:len(args):len(args)], "--previous", "docker://"+registry+"/x:latest"), tt.more...)
		status := run(t.Context(), append(words, "oci:"+filepath.Join(t.TempDir(), "next")), terminal{out: &out, err: &stderr})
		if status != 0 || strings.Count(stderr.String(), word) > 1 || strings.Contains(stderr.String(), word) != tt.said {
			t.Errorf("%q: %d: %s; want %q said: %v", tt.more, status, &stderr, word, tt.said)
		}
	}
}

// serveLayout serves a registry with a layout's image under all names, and returns its address.
func serveLayout(t *testing.T, dir string) string {
	t.Helper()
	p := &testImage{t: t, dir: dir}
	p.load()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(filepath.Join(dir, "blobs/sha256", strings.TrimPrefix(path.Base(r.URL.Path), "sha256:")))
		if strings.Contains(r.URL.Path, "/manifests/") {
			b, err = json.Marshal(p.manifest)
			w.Header().Set("Content-Type", p.manifest.MediaType)
		}
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
