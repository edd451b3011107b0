package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

// newGraph makes a store's database with 10,000 paths and 200,000 references, and returns its last object.
func newGraph(b *testing.B) (root, object string) {
	b.Helper()
	root = b.TempDir()
	if err := synthesize(root, 10000, 20, false); err != nil {
		b.Fatal(err)
	}
	name, err := os.ReadFile(root + "/object")
	if err != nil {
		b.Fatal(err)
	}
	return root, string(name)
}

// BenchmarkOpenStore reads the database of 10,000 paths.
func BenchmarkOpenStore(b *testing.B) {
	root, _ := newGraph(b)
	for b.Loop() {
		s, err := localstore.Open(b.Context(), root, localstore.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClosure finds the closure of 10,000 paths in an open store.
func BenchmarkClosure(b *testing.B) {
	root, object := newGraph(b)
	s, err := localstore.Open(b.Context(), root, localstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := profile.FindClosure(b.Context(), s, profile.Path(object)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlan divides 10,000 paths into layers.
func BenchmarkPlan(b *testing.B) {
	root, object := newGraph(b)
	closure, close, err := findClosure(b.Context(), root, object)
	if err != nil {
		b.Fatal(err)
	}
	defer close()
	for b.Loop() {
		if _, err := planClosure(b.Context(), closure); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHash measures SHA-256, the upper bound for everything that is hashed.
func BenchmarkHash(b *testing.B) {
	block := make([]byte, 1<<20)
	b.SetBytes(int64(len(block)))
	h := sha256.New()
	for b.Loop() {
		h.Write(block)
	}
}

// BenchmarkNAR writes 64 files of 1 MiB and 8192 of 1 KiB as a NAR.
func BenchmarkNAR(b *testing.B) {
	dir := b.TempDir()
	entries := []rootfs.Entry{rootfs.Dir("object", 0o555)}
	var size int64
	for i := range 64 + 8192 {
		n := 1 << 10
		if i < 64 {
			n = 1 << 20
		}
		name := fmt.Sprintf("%05d", i)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, make([]byte, n), 0o444); err != nil {
			b.Fatal(err)
		}
		entries = append(entries, rootfs.File("object/"+name, 0o444, int64(n), func() (io.ReadCloser, error) { return os.Open(file) }))
		size += int64(n)
	}
	tree := func(yield func(rootfs.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
	b.SetBytes(size)
	for b.Loop() {
		if err := nar.Write(io.Discard, tree, "object"); err != nil {
			b.Fatal(err)
		}
	}
}
