package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestLarge checks that a large file makes the same image in every form, and uses little memory.
func TestLarge(t *testing.T) {
	if testrun.Race {
		t.Skip("measures memory")
	}
	size := int64(testrun.Of(192<<20, 2<<30)) + 12345 // exceeds the allowed memory
	s := storetest.Large(t, size)
	root := largeRoot(t, s, size)
	cache := largeCache(t, s)
	registration := s.WriteRegistration(t, true)
	processors(t, 2)
	idle := measure(t, "version").Peak
	var digest string
	for _, form := range []struct {
		name  string
		flags []string
		pipe  func(io.Writer) error // writes standard input
	}{
		{"directory", fromFlags(root, "--references", registration), nil},
		{"database", fromFlags(largeDatabase(t, s, size)), nil},
		{"cache", fromFlags(cache), nil},
		{"server", fromFlags(serve(t, cache), "--no-check-sigs"), nil},
		{"export stream", fromFlags("-"), s.Export},
		{"nario 2", fromFlags("-"), s.Nario2},
		{"tar", fromFlags("-", "--references", registration), s.Tar},
	} {
		t.Run(form.name, func(t *testing.T) {
			args := append([]string{"image", "oci:" + filepath.Join(t.TempDir(), "x"), "--profile", string(s.Root),
				"--platform=linux/amd64", "--quiet", "--compression=zstd", "--no-cache", "--cache=" + t.TempDir()}, form.flags...)
			m := measurePiped(t, form.pipe, args...)
			if m.TimedOut || m.Status != 0 {
				t.Fatalf("exit status %d after %v: %s", m.Status, m.Duration, m.Err)
			}
			if digest == "" {
				digest = m.Out
			}
			if m.Out != digest {
				t.Errorf("digest %s; from a directory: %s", m.Out, digest)
			}
			t.Logf("%v, %d MiB more than idle", m.Duration, (m.Peak-idle)>>20)
			if got := m.Peak - idle; got > allowedMemory+2*workerMemory {
				t.Errorf("%d MiB more than the idle program", got>>20)
			}
		})
	}
}

// measurePiped measures a run whose standard input a function writes.
func measurePiped(t *testing.T, write func(io.Writer) error, args ...string) measurement {
	t.Helper()
	if write == nil {
		return measure(t, args...)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- errors.Join(write(w), w.Close()) }()
	m := measureFrom(t, r, args...)
	r.Close() // ends the writer, too
	if err := <-written; err != nil && m.Status == 0 {
		t.Fatal(err)
	}
	return m
}

// largeRoot makes a directory with the one object of a large sample, as a sparse file.
func largeRoot(t *testing.T, s *storetest.Sample, size int64) string {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, s.Root.Root())
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o444), os.Truncate(file, size))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func largeDatabase(t *testing.T, s *storetest.Sample, size int64) string {
	t.Helper()
	root := largeRoot(t, s, size)
	s.AddDatabase(t, root)
	return root
}

// largeCache makes a binary cache of the sample.
func largeCache(t *testing.T, s *storetest.Sample) string {
	t.Helper()
	cache := t.TempDir()
	info := s.Infos[0]
	for name, text := range map[string]string{
		"nix-cache-info":                "StoreDir: /nix/store\n",
		info.Path.Digest() + ".narinfo": storetest.NarInfo(info, "zeros.nar.zst", "zstd"),
	} {
		if err := os.WriteFile(filepath.Join(cache, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(cache, "zeros.nar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(nar.Write(z, s.Files(t.Context(), info.Path), info.Path.Root()), z.Close()); err != nil {
		t.Fatal(err)
	}
	return cache
}

// TestLargeDirectory checks that a store path with many files in one directory uses little memory, with every compression.
func TestLargeDirectory(t *testing.T) {
	if testrun.Race {
		t.Skip("measures memory")
	}
	const object = "/nix/store/00000000000000000000000000000001-many"
	root := t.TempDir()
	dir := root + object
	count := testrun.Of(20_000, 1_000_000)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		if err := os.WriteFile(fmt.Sprintf("%s/file-%07d-name", dir, i), nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	// A list of references need not have hashes, so that the files are read once.
	references := filepath.Join(t.TempDir(), "graph")
	const top = "/nix/store/00000000000000000000000000000002-top"
	err := errors.Join(os.Mkdir(root+top, 0o755),
		os.WriteFile(references, []byte(object+"\n\n0\n"+top+"\n\n1\n"+object+"\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	processors(t, 2)
	for compression, most := range map[string]int64{"none": 64 << 20, "gzip": 64 << 20, "zstd": 64 << 20, "zstd:chunked": 160 << 20} {
		m := measure(t, append([]string{"image", "oci:" + filepath.Join(t.TempDir(), "x"), "--profile", top, "--platform=linux/amd64", "--quiet",
			"--no-cache", "--cache=" + t.TempDir(), "--compression=" + compression}, fromFlags(root, "--references", references)...)...)
		if m.TimedOut || m.Status != 0 {
			t.Fatalf("exit status %d after %v: %s", m.Status, m.Duration, m.Err)
		}
		t.Logf("%s, %d files: %v, %d MiB", compression, count, m.Duration, m.Peak>>20)
		if m.Peak > most {
			t.Errorf("%s: %d MiB; want at most %d", compression, m.Peak>>20, most>>20)
		}
	}
}

// TestLargeFarm checks that the largest allowed link farm uses little memory, besides that of the workers.
func TestLargeFarm(t *testing.T) {
	if testrun.Race {
		t.Skip("measures memory")
	}
	for _, of := range []struct {
		compression string
		processors  int
		most        int64
	}{
		{"none", 2, allowedMemory},
		{"gzip:2", 2, allowedMemory + 2*workerMemory},
		{"gzip:2", 8, allowedMemory + 8*workerMemory},
	} {
		t.Run(fmt.Sprintf("%s %d", of.compression, of.processors), func(t *testing.T) {
			processors(t, of.processors)
			idle := measure(t, "version").Peak
			m := measure(t, append([]string{"image", "oci:" + filepath.Join(t.TempDir(), "x"), "--platform=linux/amd64", "--quiet",
				"--cache=" + t.TempDir(), "--compression=" + of.compression}, sourceFarm(16, "etc")(t)...)...)
			if m.TimedOut || m.Status != 0 {
				t.Fatalf("exit status %d after %v: %s", m.Status, m.Duration, m.Err)
			}
			t.Logf("%v, %d MiB more than idle", m.Duration, (m.Peak-idle)>>20)
			if got := m.Peak - idle; got > of.most {
				t.Errorf("%d MiB more than the idle program; want at most %d", got>>20, of.most>>20)
			}
		})
	}
}
