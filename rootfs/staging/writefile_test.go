package staging

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	for _, content := range []string{"first", "second"} {
		if err := WriteFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != content {
			t.Errorf("WriteFile wrote %q, %v; want %q, <nil>", b, err, content)
		}
		if fi, err := os.Stat(name); err != nil || fi.Mode() != 0o644 {
			t.Errorf("WriteFile made %v, %v; want mode 0644", fi, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v; want one file", left, err)
	}
	if err := WriteFile(filepath.Join(dir, "gone", "file"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile in a missing directory = %v; want %v", err, fs.ErrNotExist)
	}
}
