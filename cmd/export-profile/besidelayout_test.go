package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBesideLayout(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a/b/c", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, tt := range []struct{ layout, tag, want string }{
		{"hello", "v1", "hello-v1"},
		{"hello", "latest", "hello"},
		{"hello", "", "hello"},
		{"./hello//", "v1", "./hello-v1"},
		{"a/./.", "v1", "a-v1"},
		{"..hidden.", "v1", "..hidden.-v1"},
		{".", "v1", dir + "-v1"},
		{"./", "latest", dir},
		{"././/.", "v1", dir + "-v1"},
		{"a/b/..", "v1", dir + "/a-v1"},
		{"a/../", "v1", dir + "-v1"},
		{"..", "v1", filepath.Dir(dir) + "-v1"},
		{"link/..", "v1", dir + "/a/b-v1"},
		{"gone/..", "v1", dir + "-v1"},
	} {
		if got := besideLayout(tt.layout, tt.tag); got != tt.want {
			t.Errorf("besideLayout(%q, %q) = %q; want %q", tt.layout, tt.tag, got, tt.want)
		}
	}
}
