package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// damageForm is a form of a store with one file to damage.
type damageForm struct {
	name  string
	write func(t *testing.T, s *storetest.Sample) (file string, flags []string)
	// cut and flipped say what damage may cause besides an error.
	cut, flipped outcome
}

type outcome int

const (
	onlyError  outcome = iota
	sameImage          // the same image, since some bytes mean nothing
	otherImage         // another image, since no hash covers the bytes
)

func damageForms() []damageForm {
	type sample = storetest.Sample
	whole := func(write func(t *testing.T, s *sample) string, more ...string) func(*testing.T, *sample) (string, []string) {
		return func(t *testing.T, s *sample) (string, []string) {
			file := write(t, s)
			return file, fromFlags(file, more...)
		}
	}
	packed := func(compression string, write func(s *sample, t testing.TB) string) func(*testing.T, *sample) (string, []string) {
		return whole(func(t *testing.T, s *sample) string { return storetest.WriteCompressed(t, compression, write(s, t)) })
	}
	inCache := func(compression, name string) func(*testing.T, *sample) (string, []string) {
		return func(t *testing.T, s *sample) (string, []string) {
			s, key := s.Signed("signer-1")
			dir := s.WriteCache(t, compression)
			info, err := s.Info(t.Context(), s.Root)
			if err != nil {
				t.Fatal(err)
			}
			file := map[string]string{"narinfo": info.Path.Digest() + ".narinfo", "nar": "nar/" + info.NarHash.Hex() + ".nar"}[name]
			return filepath.Join(dir, file), fromFlags(dir, "--require-sigs", "--trusted-public-key", key)
		}
	}
	export := func(s *sample, t testing.TB) string { return s.WriteExport(t) }
	nario2 := func(s *sample, t testing.TB) string { return s.WriteNario2(t) }
	return []damageForm{
		{"export", whole(func(t *testing.T, s *sample) string { return s.WriteExport(t) }), onlyError, otherImage},
		{"export in gzip", packed("gzip", export), onlyError, sameImage},
		{"export in zstd", packed("zstd", export), onlyError, sameImage},
		{"export in xz", packed("xz", export), onlyError, sameImage},
		{"export in bzip2", packed("bzip2", export), onlyError, sameImage},
		{"export in lzip", packed("lzip", export), onlyError, sameImage},
		{"nario 2", whole(func(t *testing.T, s *sample) string { return s.WriteNario2(t) }), onlyError, sameImage},
		{"nario 2 in lz4", packed("lz4", nario2), sameImage, sameImage},
		{"narinfo", inCache("none", "narinfo"), onlyError, onlyError},
		{"NAR", inCache("none", "nar"), onlyError, onlyError},
		{"NAR in gzip", inCache("gzip", "nar"), onlyError, sameImage},
		{"NAR in zstd", inCache("zstd", "nar"), onlyError, sameImage},
		{"NAR in xz", inCache("xz", "nar"), onlyError, sameImage},
		{"NAR in bzip2", inCache("bzip2", "nar"), onlyError, sameImage},
		{"NAR in lzip", inCache("lzip", "nar"), onlyError, sameImage},
		{"NAR in br", inCache("br", "nar"), onlyError, sameImage},
		{"NAR in lz4", inCache("lz4", "nar"), sameImage, sameImage},
		{"registration", func(t *testing.T, s *sample) (string, []string) {
			file := s.WriteRegistration(t, true)
			return file, fromFlags(s.WriteRoot(t), "--references", file)
		}, sameImage, onlyError},
		{"path-info", func(t *testing.T, s *sample) (string, []string) {
			file := s.WritePathInfo(t)
			return file, fromFlags(s.WriteRoot(t), "--references", file)
		}, onlyError, sameImage},
		{"tar", func(t *testing.T, s *sample) (string, []string) {
			file := s.WriteTar(t)
			return file, fromFlags(file, "--references", s.WriteRegistration(t, true))
		}, sameImage, sameImage},
		{"database", func(t *testing.T, s *sample) (string, []string) {
			dir := s.WriteDatabase(t)
			return storetest.Dense(t, dir), fromFlags(dir)
		}, sameImage, otherImage}, // SQLite has no checksums, so nothing else covers the references
	}
}

// TestDamaged checks that cut files and flipped bits are errors. They leave the destination unchanged,
// whether it exists or not. In some forms a flipped bit may also change the digest, or mean nothing.
func TestDamaged(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old")
	succeed(t, "", "image", "--quiet", "--no-cache", "--cache="+t.TempDir(), "--from", storetest.File(t, "basic.nix-export"), "oci:"+old+":old")
	for _, f := range damageForms() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			sample := storetest.Tiny(t)
			file, flags := f.write(t, sample)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			flags = append(flags, "--quiet", "--profile", string(sample.Root), "--compression=none", "--no-cache", "--cache="+t.TempDir())
			d := &damageRun{file: file, flags: flags, old: old, dir: t.TempDir(), before: snapshot(t, old)}
			d.digest = succeed(t, "", append([]string{"image", "--platform=linux/amd64", "oci:" + filepath.Join(t.TempDir(), "x")}, flags...)...)
			d.tar = succeed(t, "", append([]string{"rootfs", "tar:-"}, flags...)...)

			cuts, flips := testrun.Of(30, len(whole)), testrun.Of(50, 8*len(whole))
			step := max(1, len(whole)/cuts)
			for size := 0; size < len(whole); size += step {
				d.run(t, fmt.Sprintf("cut to %d of %d bytes", size, len(whole)), whole[:size], f.cut)
			}
			step = max(1, 8*len(whole)/flips) | 1 // odd, to reach each of the eight bits
			flipped := bytes.Clone(whole)
			for bit := 0; bit < 8*len(whole); bit += step {
				flipped[bit/8] ^= 1 << (bit % 8)
				d.run(t, fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8), flipped, f.flipped)
				flipped[bit/8] ^= 1 << (bit % 8)
			}
			if d.failures < 20 {
				t.Errorf("%d damages made a difference; want at least 20", d.failures)
			}
		})
	}
}

// TestDamagedStream checks that an object with a wrong hash, larger than all buffers,
// never reaches standard output.
func TestDamagedStream(t *testing.T) {
	sample := storetest.New("stream")
	large := sample.Add(t, "large", "", "f 0444 . "+strings.Repeat("0123456789abcde\n", 8<<16))
	sample.Root = sample.Add(t, "top", "large", "d .", "l large "+string(large))
	root := sample.WriteRoot(t)
	flags := append(fromFlags(root, "--references", sample.WriteRegistration(t, true)),
		"--quiet", "--profile", string(sample.Root), "--no-cache", "--cache="+t.TempDir())
	commands := [][]string{
		{"rootfs", "tar:-"}, {"rootfs", "--compression=zstd", "tar:-"},
		{"image", "--platform=linux/amd64", "oci-archive:-"},
	}
	for _, c := range commands {
		if out := succeed(t, "", append(c, flags...)...); len(out) < 512 {
			t.Fatalf("%q: %d bytes of the undamaged object", c, len(out))
		}
	}
	file := filepath.Join(root, large.Root())
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("poison"), 7<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		out, said, status := invoke(t, "", append(c, flags...)...)
		if status != 1 || out != "" || !strings.Contains(said, "hash") {
			t.Errorf("%q: exit status %d, %d bytes on standard output, and it says %q; want 1, none, and a wrong hash", c, status, len(out), said)
		}
	}
}

var longAgo = time.Unix(1e9, 0)

type damageRun struct {
	file     string
	flags    []string
	old, dir string // a layout, and the directory of destinations
	before   map[string]string
	digest   string // of the undamaged image
	tar      string // the undamaged tar
	runs     int
	failures int
}

// run makes an image from a damaged file: in turn in a new layout, in an existing one, and as a tar on standard output.
func (d *damageRun) run(t *testing.T, how string, b []byte, may outcome) {
	t.Helper()
	if err := os.Chmod(d.file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(d.file, longAgo, longAgo); err != nil { // the program waits while a database is new
		t.Fatal(err)
	}
	dest := filepath.Join(d.dir, "dest")
	command, whole := []string{"image", "--platform=linux/amd64", "oci:" + dest + ":new"}, d.digest
	var before map[string]string
	switch d.runs++; d.runs % 3 {
	case 0:
		command, whole = []string{"rootfs", "tar:-"}, d.tar
		if err := os.RemoveAll(dest); err != nil {
			t.Fatal(err)
		}
	case 1:
		if err := os.RemoveAll(dest); err != nil {
			t.Fatal(err)
		}
	case 2:
		if _, err := os.Lstat(dest); err != nil {
			if err := os.CopyFS(dest, os.DirFS(d.old)); err != nil {
				t.Fatal(err)
			}
		}
		before = snapshot(t, dest)
	}
	out, said, status := invoke(t, "", append(slices.Clone(command), d.flags...)...)
	switch {
	case status == 0:
		if may == onlyError || may == sameImage && out != whole {
			t.Errorf("%s: %q: %.80q and no error; want one", how, command, out)
		}
		if err := os.RemoveAll(dest); err != nil {
			t.Fatal(err)
		}
		return
	case status != 1 || out != "" || !strings.HasPrefix(said, "export-profile: error: "):
		t.Errorf("%s: %q: exit status %d, %d bytes on standard output (%.80q), and it says %q; want 1, nothing, and an error", how, command, status, len(out), out, said)
	}
	d.failures++
	if before == nil {
		before = map[string]string{}
	}
	if diff := cmp.Diff(before, snapshot(t, dest)); diff != "" {
		t.Errorf("%s: the destination has changed (-before +after):\n%s", how, diff)
	}
	if entries, err := os.ReadDir(d.dir); err != nil || len(entries) > 1 {
		t.Errorf("%s: left beside the destination: %v, %v", how, entries, err)
	}
}

// snapshot returns the contents of a directory, or nothing if it does not exist.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if name != dir && err == nil {
				all[name] = "a directory"
			}
			return err
		}
		b, err := os.ReadFile(name)
		all[name] = string(b)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}
