package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingChanged: the second run opens no file of the store, and reads no store for another compression or place.
func TestNothingChanged(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	first := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "oci:layout:v1")
	zstd := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "--compression", "zstd", "oci:layout:zstd")
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
			trace := filepath.Join(dir, "trace")
			args := append([]string{"-f", "-o", trace, "-e", "trace=open,openat,openat2", lab.program,
				"image", "--cache", "cache", "--profile", lab.profile}, tt.args...)
			if got := strings.TrimSpace(do(t, p.command(dir, "strace", args...)).stdout); got != tt.want {
				t.Errorf("%q prints %s; want %s", tt.args, got, tt.want)
			}
			b, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(b), "/nix/var/nix/db") {
				t.Error("the trace has no opening of the database: it shows nothing")
			}
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, `"/nix/store/`) && !strings.Contains(line, "O_PATH") {
					t.Errorf("a file of the store is opened: %s", line)
				}
			}
		})
	}
}

// TestCacheOfOthers: what another person's cache cannot give costs time and nothing else.
func TestCacheOfOthers(t *testing.T) {
	p := lab.user
	dir := p.scratch(t)
	want := p.export(t, dir, "image", "--cache", "cache", "--profile", lab.profile, "oci:layout:v1")
	t.Run("as root", func(t *testing.T) {
		root := lab.root.scratch(t)
		if got := lab.root.export(t, root, "image", "--cache", filepath.Join(dir, "cache"), "--profile", lab.profile, "oci:layout:v1"); got != want {
			t.Errorf("with another's cache: %s; want %s", got, want)
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
				t.Errorf("one of two runs at once: %v, %s; want %s", err, out[i].String(), want)
			}
		}
	})
}
