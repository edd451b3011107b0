package staging

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made/when/needed")
	f, err := Spool(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "kept" {
		t.Errorf("ReadAt = %q, %v; want %q, <nil>", b, err, "kept")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the directory has %v, %v; want no names", left, err)
	}
	var failed *SpoolError
	if _, err := Spool(filepath.Join(dir, "\x00")); !errors.As(err, &failed) {
		t.Errorf("Spool in an impossible directory = %v; want a *SpoolError", err)
	}
}

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
