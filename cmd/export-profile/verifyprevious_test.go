package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestVerifyPrevious: layers of a previous image that are not what it says are built anew, and the image is right.
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
		plant func(p *planted)
		taken int // the status of verify, if the previous image is believed as it stands; 1 if there is no image then
	}{
		{"nothing", func(p *planted) {}, 0},
		{"a file", func(p *planted) { p.editFile("hello-1.0", "bin/hello", swap) }, 3},
		{"a mode", func(p *planted) { p.editFile("hello-1.0", "bin/hello", func(f *tarFile) { f.Mode = 0o4555 }) }, 3},
		{"a file more", func(p *planted) { p.insert("hello-1.0", "bin/hello", regular(helloPath+"/bin/hello2", "x")) }, 3},
		{"a base file", func(p *planted) {
			p.editFile("base", "etc/passwd", func(f *tarFile) { f.content = append(f.content, "evil::0:0::/:\n"...) })
		}, 3},
		{"a diffID", func(p *planted) { p.config.RootFS.DiffIDs[p.layer("hello-1.0")] = digest.FromString("x"); p.save() }, 3},
		{"a blob", func(p *planted) { p.damage(p.blob(p.manifest.Layers[p.layer("hello-1.0")].Digest)) }, 1},
		{"all layers", func(p *planted) {
			for i := range p.manifest.Layers {
				p.edit(i, func(files []tarFile) []tarFile { return append(files, regular("zzz", "x")) })
			}
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := &planted{t: t, dir: filepath.Join(dir, "image")}
			p.must(os.CopyFS(p.dir, os.DirFS(original)))
			p.load()
			tt.plant(p)

			_, stderr, status := image(p.dir, filepath.Join(dir, "believed"))
			if status == 0 {
				_, status = verifyRun(t, "verify", "oci:"+filepath.Join(dir, "believed"))
			}
			if status != tt.taken {
				t.Errorf("believed as it stands: %d; want %d: %s", status, tt.taken, stderr)
			}

			stdout, stderr, status := image(p.dir, filepath.Join(dir, "verified"), "--verify-previous")
			if status != 0 {
				t.Fatalf("--verify-previous: %d: %s", status, stderr)
			}
			if out, status := verifyRun(t, "verify", "oci:"+filepath.Join(dir, "verified")); status != 0 {
				t.Errorf("after --verify-previous, verify says: %s", out)
			}
			if said := strings.Contains(stderr, "not kept"); said == (tt.taken == 0) || tt.taken == 0 && stdout != digested {
				t.Errorf("%s, and it is said: %s; want %s, and nothing of layers that are not kept: %v", stdout, stderr, digested, tt.taken == 0)
			}
		})
	}
}
