package e2e

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// list maps each path below a directory to its type, mode, link target, size and hash of its content.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel := path[len(dir)+1:]
		entries[rel], err = describe(path, fi)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func describe(path string, fi fs.FileInfo) (string, error) {
	mode := fi.Mode()
	bits := fmt.Sprintf("%04o", mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits = "1" + bits[1:]
	}
	switch mode.Type() {
	case fs.ModeDir:
		return "directory " + bits, nil
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return "link to " + target, err
	case 0:
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum, err := hashOf(f)
		return fmt.Sprintf("file %s, %d bytes, %s", bits, fi.Size(), sum), err
	}
	return mode.String(), nil
}

func hashOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// checkTimes checks that all files below a directory have the modification time of store objects.
func checkTimes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err == nil && !fi.ModTime().Equal(time.Unix(1, 0)) {
			t.Errorf("%q was modified at %v; want one second after the epoch", path, fi.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// names lists the paths below a directory, to find litter.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != dir {
			all = append(all, path[len(dir)+1:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// writeTar writes a tar with one file.
func writeTar(t *testing.T, name, member, content string) {
	t.Helper()
	var b strings.Builder
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: member, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, b.String())
}
