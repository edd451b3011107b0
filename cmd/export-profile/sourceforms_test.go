package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// form is a form of a source: write writes a sample and returns the flags that read it.
type form struct {
	name    string
	write   func(t *testing.T, s *storetest.Sample) []string
	scanned bool // references come from scanning the files
	stdin   bool // the file goes to standard input
}

func forms() []form {
	type sample = storetest.Sample
	all := []form{
		{name: "export", write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteExport(t)) }},
		{name: "export on standard input", stdin: true, write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteExport(t)) }},
		{name: "nario 2", write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteNario2(t)) }},
		{name: "nario 2, signed", write: func(t *testing.T, s *sample) []string {
			s, key := s.Signed("signer-1")
			return fromFlags(s.WriteNario2(t), "--require-sigs", "--trusted-public-key", key)
		}},
		{name: "database", write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteDatabase(t)) }},
		{name: "database, signed", write: func(t *testing.T, s *sample) []string {
			s, key := s.Signed("signer-1")
			return fromFlags(s.WriteDatabase(t), "--require-sigs", "--trusted-public-key", key)
		}},
		{name: "directory with registration", write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteRoot(t), "--references", s.WriteRegistration(t, true))
		}},
		{name: "directory with path-info", write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteRoot(t), "--references", s.WritePathInfo(t))
		}},
		{name: "directory with exportReferencesGraph", write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteRoot(t), "--references", s.WriteRegistration(t, false))
		}},
		{name: "store directory with registration", write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteRoot(t)+s.Dir.String(), "--references", s.WriteRegistration(t, true))
		}},
		{name: "directory alone", scanned: true, write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteRoot(t)) }},
		{name: "tar alone", scanned: true, write: func(t *testing.T, s *sample) []string { return fromFlags(s.WriteTar(t)) }},
		{name: "tar with registration", write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteTar(t), "--references", s.WriteRegistration(t, true))
		}},
		{name: "GNU tar with database", write: func(t *testing.T, s *sample) []string { return fromFlags(gnuTar(t, s.WriteDatabase(t))) }},
		{name: "chain", write: func(t *testing.T, s *sample) []string { return chain(t, s, s.WriteExport(t)) }},
		{name: "chain of three forms", write: func(t *testing.T, s *sample) []string {
			return append(chain(t, s, s.WriteDatabase(t)), fromFlags(s.WriteNario2(t))...)
		}},
		{name: "server", write: func(t *testing.T, s *sample) []string {
			s, key := s.Signed("signer-1")
			return fromFlags(serve(t, s.WriteCache(t, "zstd")), "--trusted-public-key", key)
		}},
		{name: "server without signatures", write: func(t *testing.T, s *sample) []string {
			return fromFlags(serve(t, s.WriteCache(t, "none")), "--no-check-sigs")
		}},
		{name: "guix publish", write: func(t *testing.T, s *sample) []string {
			dir, key := s.WriteGuixCache(t, "gzip", "zstd")
			return fromFlags(serve(t, dir), "--trusted-public-key", key)
		}},
		{name: "guix publish, copied", write: func(t *testing.T, s *sample) []string {
			dir, key := s.WriteGuixCache(t, "none")
			return fromFlags(dir, "--require-sigs", "--trusted-public-key", key)
		}},
		{name: "guix archive", write: func(t *testing.T, s *sample) []string {
			stream, key := s.WriteGuixExport(t)
			return fromFlags(stream, "--require-sigs", "--trusted-public-key", key)
		}},
		{name: "server with path-info", write: func(t *testing.T, s *sample) []string {
			return fromFlags(serve(t, s.WriteCache(t, "gzip")), "--references", s.WritePathInfo(t))
		}},
	}
	for _, compression := range storetest.Compressions() {
		all = append(all, form{name: "cache, " + compression, write: func(t *testing.T, s *sample) []string {
			return fromFlags(s.WriteCache(t, compression))
		}})
		if compression == "br" || compression == "none" { // not recognizable in a file
			continue
		}
		all = append(all,
			form{name: "export, " + compression, write: func(t *testing.T, s *sample) []string {
				return fromFlags(storetest.WriteCompressed(t, compression, s.WriteExport(t)))
			}},
			form{name: "nario 2, " + compression + ", on standard input", stdin: true, write: func(t *testing.T, s *sample) []string {
				return fromFlags(storetest.WriteCompressed(t, compression, s.WriteNario2(t)))
			}},
			form{name: "tar, " + compression, write: func(t *testing.T, s *sample) []string {
				return fromFlags(storetest.WriteCompressed(t, compression, s.WriteTar(t)), "--references", s.WritePathInfo(t))
			}})
	}
	return all
}

func fromFlags(name string, more ...string) []string {
	return append([]string{"--from", name}, more...)
}

func serve(t *testing.T, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

// chain returns a cache that lacks half of the objects, and another source that has them.
func chain(t *testing.T, s *storetest.Sample, other string) []string {
	t.Helper()
	cache := s.WriteCache(t, "gzip")
	for i, info := range s.Infos {
		if i%2 == 0 {
			if err := os.Remove(filepath.Join(cache, info.Path.Digest()+".narinfo")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return fromFlags(cache, fromFlags(other)...)
}

// gnuTar archives a directory with GNU tar, as a person would.
func gnuTar(t *testing.T, dir string) string {
	t.Helper()
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("no tar on this machine")
	}
	name := filepath.Join(t.TempDir(), "x.tar")
	if said, err := exec.Command("tar", "-cf", name, "-C", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, said)
	}
	return name
}

// invoke runs the program in this process, and returns what it prints.
func invoke(t *testing.T, stdin string, args ...string) (out, said string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	term := terminal{out: &stdout, err: &stderr}
	if stdin != "" {
		f, err := os.Open(stdin)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		term.in = f
	}
	status = run(t.Context(), args, term)
	return stdout.String(), stderr.String(), status
}

// succeed runs a command that must succeed, and returns its standard output.
func succeed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, said, status := invoke(t, stdin, args...)
	if status != 0 {
		t.Fatalf("export-profile %q exits with %d; want 0\n%s", args, status, said)
	}
	return out
}

// cleanUp deletes a root filesystem with read-only directories at the end of the test.
func cleanUp(t *testing.T, dir string) string {
	t.Cleanup(func() { _ = staging.RemoveAll(dir) })
	return dir
}

// TestForms checks that each sample has one digest and one tree in every form, with and without a cache.
func TestForms(t *testing.T) {
	samples := append(storetest.Samples(t), storetest.Knot(t))
	for _, dir := range []string{"/gnu/store", "/opt/nix/store"} {
		d, err := rootfs.ParseStoreDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, storetest.TinyIn(t, d))
	}
	for _, sample := range samples {
		many := sample.Name == "many"
		t.Run(sample.Name+sample.Dir.String(), func(t *testing.T) {
			digest, tree := readForm(t, forms()[0], sample, true)
			if !strings.HasPrefix(digest, "sha256:") || len(tree) < 50*len(sample.Infos) {
				t.Fatalf("digest %q and a tree of %d bytes; want some to compare with", digest, len(tree))
			}
			for i, f := range forms()[1:] {
				if many && i%3 != 0 && !testrun.Exhaustive() {
					continue
				}
				// Scanning the golden closure finds more references than Nix registered. The closure is the same,
				// but references decide how an image is divided into layers.
				if f.scanned && sample.Name != "knot" && !many {
					continue
				}
				if f.name == "database, signed" && sample.Dir.IsGuix() {
					continue // Guix keeps no signatures in its database
				}
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					withTree := f.name == "chain" || testrun.Exhaustive() && !many // an image shows the same
					gotDigest, gotTree := readForm(t, f, sample, withTree)
					if gotDigest != digest {
						t.Errorf("digest %q; want %q", gotDigest, digest)
					}
					if d := cmp.Diff(tree, gotTree); d != "" && withTree {
						t.Errorf("another tree (-want +got):\n%s", d)
					}
				})
			}
		})
	}
}

// readForm makes images of a sample in a form: without a cache, with one, and again from that cache.
// With withTree it also makes a root filesystem. It returns the digest of the images and a list of the files.
func readForm(t *testing.T, f form, sample *storetest.Sample, withTree bool) (digest, tree string) {
	t.Helper()
	work := t.TempDir()
	flags := append(f.write(t, sample), "--quiet", "--profile", string(sample.Root), "--cache="+filepath.Join(work, "cache"))
	if dir := sample.Dir.String(); dir == "/opt/nix/store" || dir == "/gnu/store" && strings.Contains(f.name, "nario 2") || dir == "/gnu/store" && f.name == "chain of three forms" {
		flags = append(flags, "--store-dir", dir) // the source does not say it
	}
	stdin := ""
	if f.stdin {
		stdin, flags[1] = flags[1], "-"
	}
	modes := []string{"--no-cache", "--no-cache=false", "--no-cache=false"}
	if sample.Name == "many" && !withTree {
		modes = modes[:2]
	}
	for i, mode := range modes {
		dir := filepath.Join(work, "image", string(rune('0'+i)))
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		got := succeed(t, stdin, append([]string{"image", "--platform=linux/amd64", mode, "oci:" + dir}, flags...)...)
		if i == 0 {
			digest = got
			if _, _, err := readImage(dir, "latest"); err != nil {
				t.Error(err)
			}
		}
		if got != digest {
			t.Errorf("run %d, with %s: digest %q; want %q", i, mode, got, digest)
		}
	}
	if !withTree {
		return digest, ""
	}
	dir := cleanUp(t, filepath.Join(work, "root"))
	succeed(t, stdin, append([]string{"rootfs", dir}, flags...)...)
	lines, err := storetest.List(diskTree(dir))
	if err != nil {
		t.Fatal(err)
	}
	return digest, strings.Join(lines, "\n")
}
