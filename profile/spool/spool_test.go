package spool

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made/when/needed")
	f, err := New(dir)
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
		t.Errorf("there is %v, %v in the directory; want nothing with a name", left, err)
	}
	if _, err := New(filepath.Join(dir, "\x00")); err == nil {
		t.Error("New in an impossible directory succeeded")
	}
}
