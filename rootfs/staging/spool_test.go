package staging

import (
	"errors"
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
