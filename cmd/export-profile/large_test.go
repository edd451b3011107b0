package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestLarge: a file of more than 2 GiB is as any other, from a directory and from a cache, and takes no memory.
func TestLarge(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("it takes long")
	}
	const size = 2<<30 + 12345
	s := storetest.Large(t, size)
	info := s.Infos[0]

	root := t.TempDir()
	file := filepath.Join(root, info.Path.Root())
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil { // takes no space
		t.Fatal(err)
	}

	cache := t.TempDir()
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
	if err := nar.Write(z, s.Files(t.Context(), info.Path), info.Path.Root()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	processors(t, 2)
	idle := measure(t, "version").Peak
	var digests []string
	for _, source := range [][]string{from(root, "--references", s.WriteRegistration(t, true)), from(cache)} {
		m := measure(t, append([]string{"image", "oci:" + filepath.Join(t.TempDir(), "x"), "--profile", string(s.Root),
			"--platform=linux/amd64", "--quiet", "--compression=zstd", "--no-cache", "--cache=" + t.TempDir()}, source...)...)
		if m.NotFinished || m.Status != 0 {
			t.Fatalf("%q: exit status %d after %v: %s", source, m.Status, m.Took, m.Err)
		}
		digests = append(digests, m.Out)
		t.Logf("%q: %v, %d MiB more than idle", source, m.Took, (m.Peak-idle)>>20)
		if got := m.Peak - idle; got > allowed+2*aWorker {
			t.Errorf("%q: %d MiB more than the idle program", source, got>>20)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("from a directory: %s; from a cache: %s", digests[0], digests[1])
	}
}

// TestLargePipe: a stream of more than 1 GiB through a pipe takes no memory, and makes what the same files make.
func TestLargePipe(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	const size = 1<<30 + 1<<20
	s := storetest.Large(t, size)
	root := t.TempDir()
	file := filepath.Join(root, s.Root.Root())
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o444), os.Truncate(file, size))
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- errors.Join(s.Export(w), w.Close()) }()

	processors(t, 2)
	flags := []string{"image", "--platform=linux/amd64", "--quiet", "--compression=zstd", "--cache=" + t.TempDir()}
	idle := measure(t, "version").Peak
	m := measureFrom(t, r, append(flags, "--from=-", "oci:"+filepath.Join(t.TempDir(), "x"))...)
	r.Close() // so that the writer ends, too
	if err := <-written; m.NotFinished || m.Status != 0 || err != nil {
		t.Fatalf("exit status %d after %v: %s; the stream: %v", m.Status, m.Took, m.Err, err)
	}
	t.Logf("%v, %d MiB more than idle", m.Took, (m.Peak-idle)>>20)
	if got := m.Peak - idle; got > allowed+2*aWorker && !underRace {
		t.Errorf("%d MiB more than the idle program", got>>20)
	}
	want := succeed(t, "", append(flags, append(from(root, "--references", s.WriteRegistration(t, true), "--profile", string(s.Root)),
		"--no-cache", "oci:"+filepath.Join(t.TempDir(), "x"))...)...)
	if m.Out != want {
		t.Errorf("from a pipe: %s; from a directory: %s", m.Out, want)
	}
}

// TestLargeFarm: the most links that there may be take no more memory than anything else, besides what the workers have.
func TestLargeFarm(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("it takes some seconds")
	}
	for _, of := range []struct {
		compression string
		processors  int
		most        int64
	}{
		{"none", 2, allowed},
		{"gzip:2", 2, allowed + 2*aWorker},
		{"gzip:2", 8, allowed + 8*aWorker},
	} {
		t.Run(fmt.Sprintf("%s %d", of.compression, of.processors), func(t *testing.T) {
			processors(t, of.processors)
			idle := measure(t, "version").Peak
			m := measure(t, append([]string{"image", "oci:" + filepath.Join(t.TempDir(), "x"), "--platform=linux/amd64", "--quiet",
				"--cache=" + t.TempDir(), "--compression=" + of.compression}, farm(16, "etc")(t)...)...)
			if m.NotFinished || m.Status != 0 {
				t.Fatalf("exit status %d after %v: %s", m.Status, m.Took, m.Err)
			}
			t.Logf("%v, %d MiB more than idle", m.Took, (m.Peak-idle)>>20)
			if got := m.Peak - idle; got > of.most {
				t.Errorf("%d MiB more than the idle program; want at most %d", got>>20, of.most>>20)
			}
		})
	}
}
