package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNothingChanged checks that a second run opens no file of the store, even for another compression or destination.
func TestNothingChanged(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	first := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "oci:layout:v1")
	zstd := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "--compression", "zstd", "oci:layout:zstd")
	wantOpened(t, p, dir, first)
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"new layout", first, []string{"oci:second:v1"}},
		{"same tag", first, []string{"oci:layout:v1"}},
		{"tag beside it", first, []string{"oci:layout:v2"}},
		{"previous", first, []string{"--previous", "layout:v1", "oci:layout:v3"}},
		{"other compression", zstd, []string{"--compression", "zstd", "oci:second:zstd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, opened := traceStore(t, p, dir, append([]string{"image", "--cache", "cache", "--profile", lab.profile}, tt.args...)...)
			if got != tt.want {
				t.Errorf("%q prints %s; want %s", tt.args, got, tt.want)
			}
			if len(opened) > 0 {
				t.Errorf("the run opened %d files of the store:\n%s", len(opened), strings.Join(opened[:min(len(opened), 10)], "\n"))
			}
		})
	}
}

// belowStore matches files opened below the store in the output of strace -y, which resolves
// directories of relative names and the opened files. It does not match the store directory itself.
var belowStore = regexp.MustCompile(`(?m)^.*(/nix/store/|/nix/store>, ").*$`)

// traceStore runs export-profile, and returns its output and the files that it opens below the store.
func traceStore(t *testing.T, p person, dir string, args ...string) (printed string, opened []string) {
	t.Helper()
	trace := filepath.Join(dir, "trace")
	args = append([]string{"-f", "-y", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", trace, lab.program}, args...)
	r := do(t, p.command(dir, "strace", args...))
	b := readFile(t, trace)
	if !strings.Contains(b, "/nix/var/nix/db") {
		t.Error("the trace does not show the opening of the database, so it proves nothing")
	}
	return strings.TrimSpace(r.stdout), belowStore.FindAllString(b, -1)
}

// wantOpened checks that traces show opened files: without a cache, a run opens each object of the closure.
func wantOpened(t *testing.T, p person, dir, want string) {
	t.Helper()
	got, opened := traceStore(t, p, dir, "image", "--no-cache", "--profile", lab.profile, "oci:cold:v1")
	if got != want {
		t.Errorf("without a cache, the image is %s; want %s", got, want)
	}
	for _, path := range lab.closure {
		if !slices.ContainsFunc(opened, func(line string) bool { return strings.Contains(line, filepath.Base(path)) }) {
			t.Errorf("without a cache, the trace does not contain %s among %d opened files", path, len(opened))
		}
	}
}

// TestCacheOfOthers checks that another user's cache, a read-only cache and concurrent runs do not change the image.
func TestCacheOfOthers(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	want := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "oci:layout:v1")
	t.Run("as root", func(t *testing.T) { // another user must not decide the content of root's images
		root := lab.root.scratch(t)
		flags := []string{"image", "--cache", filepath.Join(dir, "cache"), "--profile", lab.profile, "oci:layout:v1"}
		out, err := lab.root.command(root, lab.program, flags...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "it belongs to user") {
			t.Errorf("with another user's cache: %v, %s; want an error", err, out)
		}
		if got := lab.root.export(t, root, "image", "--cache", "own", "--profile", lab.profile, "oci:layout:v1"); got != want {
			t.Errorf("without it: %s; want %s", got, want)
		}
	})
	t.Run("read-only", func(t *testing.T) {
		do(t, exec.Command("chmod", "-R", "a-w", filepath.Join(dir, "cache")))
		t.Cleanup(func() { do(t, exec.Command("chmod", "-R", "u+w", filepath.Join(dir, "cache"))) })
		if got := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "oci:layout:v2"); got != want {
			t.Errorf("with a read-only cache: %s; want %s", got, want)
		}
	})
	t.Run("two at once", func(t *testing.T) {
		a := p.command(dir, lab.program, "image", "--cache", "shared", "--profile", lab.profile, "oci:a:v1")
		b := p.command(dir, lab.program, "image", "--cache", "shared", "--profile", lab.profile, "oci:b:v1")
		var out [2]strings.Builder
		a.Stdout, b.Stdout = &out[0], &out[1]
		for _, cmd := range []*exec.Cmd{a, b} {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i, cmd := range []*exec.Cmd{a, b} {
			if err := cmd.Wait(); err != nil || strings.TrimSpace(out[i].String()) != want {
				t.Errorf("one of two concurrent runs: %v, %s; want %s", err, out[i].String(), want)
			}
		}
	})
}

// TestRottenBlob checks that a blob that rotted in the cache, as on a failing disk, is dropped when a registry refuses it
// or verify finds it, and that the next run is right.
func TestRottenBlob(t *testing.T) {
	p := lab.user
	registry := startRegistry(t, "")
	dir := p.scratch(t)
	image := func(dest string) *exec.Cmd {
		return p.command(dir, lab.program, "image", "--cache", "cache", "--tls-verify=false", "--profile", lab.profile, dest)
	}
	want := strings.TrimSpace(do(t, image("oci:layout:v1")).stdout)
	rot := func() {
		t.Helper()
		do(t, p.command(dir, "sh", "-c", `set -e
for blob in cache/layers-1/blobs/*; do
	cp -p "$blob" kept
	printf rotten | dd of="$blob" bs=1 seek=100 conv=notrunc status=none
	touch -r kept "$blob"
done`))
	}
	rot()
	dest := "docker://" + registry + "/rotten:v1"
	r := try(t, image(dest))
	if r.status() != 1 || !strings.Contains(r.stderr, "push blob sha256:") || !strings.Contains(r.stderr, "hint: this blob was damaged in the cache, which has dropped it: run the command again") {
		t.Errorf("%v\nwant a refused blob and the hint", r)
	}
	rotten, err := filepath.Glob(filepath.Join(dir, "cache/layers-1/blobs/*"))
	if err != nil {
		t.Fatal(err)
	}
	// Each run drops the blob that its error names; cache verify drops them all.
	r = try(t, p.command(dir, lab.program, "cache", "verify", "--cache", "cache"))
	if r.status() != 3 || strings.Count(r.stdout, "removed layers-1/blobs/") != len(rotten) {
		t.Errorf("%v\nwant %d removed blobs", r, len(rotten))
	}
	if got := strings.TrimSpace(do(t, image(dest)).stdout); got != want {
		t.Errorf("the next push is %s; want %s", got, want)
	}
	do(t, p.command(dir, lab.program, "verify", "--tls-verify=false", dest))

	do(t, image("oci:layout:v1"))
	rot()
	r = try(t, p.command(dir, lab.program, "verify", "--cache", "cache", "oci:layout:v1"))
	if r.status() != 3 || !strings.Contains(r.stderr, "hint: the cache had the same damage, and has dropped ") {
		t.Errorf("%v\nwant problems and the hint", r)
	}
	if got := strings.TrimSpace(do(t, image("oci:layout:v1")).stdout); got != want {
		t.Errorf("the next image is %s; want %s", got, want)
	}
	do(t, p.command(dir, lab.program, "verify", "oci:layout:v1"))
}
