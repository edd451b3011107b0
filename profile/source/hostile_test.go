package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// These tests damage each form of a small store in every way that is cheap to enumerate.
// Then they do all that a run does with it, from Open to the last byte of the last file.

// hostile is a form of a store with one file to damage.
type hostile struct {
	name    string
	from    string
	o       Options
	damaged string // the file to damage
	claims  bool   // the file contains hashes of other files, or another file contains its hash
}

// packers maps the names of compressions in narinfos to compressors in Go.
var packers = map[string]func(io.Writer) (io.WriteCloser, error){
	"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
	"br":   func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriter(w), nil },
	"lz4": func(w io.Writer) (io.WriteCloser, error) {
		z := lz4.NewWriter(w)
		return z, z.Apply(lz4.BlockSizeOption(lz4.Block64Kb))
	},
}

func pack(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := packers[name](&out)
	if err == nil {
		_, err = w.Write(b)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// hostiles returns all forms of a sample, once for each file to damage.
func hostiles(t testing.TB, s *storetest.Sample) []hostile {
	t.Helper()
	export, tar := readFile(t, s.WriteExport(t)), readFile(t, s.WriteTar(t))
	registration, graph, info := s.WriteRegistration(t, true), s.WriteRegistration(t, false), s.WritePathInfo(t)
	file := func(name string, b []byte, o Options, claims bool) hostile {
		f := writeFile(t, b)
		return hostile{name, f, o, f, claims}
	}
	all := []hostile{
		file("export", export, Options{}, false),
		file("nario2", readFile(t, s.WriteNario2(t)), Options{}, true),
		file("export with path-info", export, Options{References: info}, true),
		file("tar", tar, Options{}, false),
		file("tar with path-info", tar, Options{References: info}, true),
	}
	for _, how := range []string{"gzip", "zstd", "lz4"} { // brotli has no magic number
		all = append(all, file("export, "+how, pack(t, how, export), Options{}, false),
			file("tar with path-info, "+how, pack(t, how, tar), Options{References: info}, true))
	}
	for _, references := range []string{registration, graph, info} {
		all = append(all, hostile{filepath.Base(references), s.WriteRoot(t), Options{References: references}, references, true})
	}
	for _, how := range []string{"none", "gzip", "zstd", "br", "lz4"} {
		dir := s.WriteCache(t, "none")
		info, err := s.Info(t.Context(), s.Root)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, info.Path.Digest()+".narinfo")
		object := filepath.Join(dir, "nar", info.NarHash.Hex()+".nar")
		if how != "none" {
			text := strings.Replace(string(readFile(t, name)), "Compression: none", "Compression: "+how, 1)
			if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.WriteFile(object, pack(t, how, readFile(t, object)), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, hostile{"NAR of a cache, " + how, dir, Options{}, object, true})
		if how == "none" {
			all = append(all, hostile{"narinfo", dir, Options{}, name, true})
		}
	}
	root := s.WriteRoot(t)
	for _, info := range s.Infos {
		name := filepath.Join(root, info.Path.Root(), "data")
		if os.Chmod(name, 0o644) == nil {
			all = append(all, hostile{"file of a root", root, Options{References: registration}, name, true})
			break
		}
	}
	return all
}

// observed holds the metadata of the objects in a source (claims), and their files (content).
type observed struct{ claims, content string }

// readAll does all that a run does with a source, and fails if that takes too long.
func readAll(t testing.TB, from string, o Options, root profile.Path) (s observed, err error) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errHangs)
	defer cancel()
	store, err := Open(ctx, []string{from}, o)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if root == "" {
		p, err := profile.Default(ctx, store)
		if err != nil {
			return s, err
		}
		root = p.Path
	}
	c, err := profile.FindClosure(ctx, store, root)
	if err != nil {
		return s, err
	}
	for _, info := range c.Infos {
		s.claims += fmt.Sprintln(info.Path, info.NarHash, info.NarSize, info.References)
	}
	for _, part := range c.Parts(ctx) {
		lines, err := storetest.List(rootfs.Check(part.Root, part.Tree))
		if err != nil {
			return s, err
		}
		s.content += strings.Join(lines, "\n") + "\n"
	}
	return s, nil
}

var errHangs = errors.New("the run hangs")

// step returns the distance between the damages to try, of n in total. It is odd, so that all bits of a byte get a turn.
func step(n int) int { return n/testrun.Of(100, n) | 1 }

// damage changes the file, calls readAll, and restores the file.
func damage(t *testing.T, h hostile, root profile.Path, change func(b []byte) []byte) (observed, error) {
	t.Helper()
	whole := readFile(t, h.damaged)
	if err := os.WriteFile(h.damaged, change(slices.Clone(whole)), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(h.damaged, whole, 0o644)
	got, err := readAll(t, h.from, h.o, root)
	if errors.Is(err, errHangs) {
		t.Fatalf("%s: %v", h.name, err)
	}
	return got, err
}

// TestHostileCut cuts each file at many places, and checks that the result is an error or complete.
func TestHostileCut(t *testing.T) {
	sample := storetest.Small(t)
	for _, h := range hostiles(t, sample) {
		t.Run(h.name, func(t *testing.T) {
			want, err := readAll(t, h.from, h.o, "")
			if err != nil {
				t.Fatal(err)
			}
			whole := readFile(t, h.damaged)
			size := len(whole)
			same := 0
			for n := 0; n < size; n += step(size) {
				got, err := damage(t, h, sample.Root, func(b []byte) []byte { return b[:n] })
				lines := n > 0 && h.name == "narinfo" && whole[n-1] == '\n' // other metadata, which no signature would match
				if err == nil && got != want && !(lines && got.claims != want.claims) {
					t.Errorf("the first %d of %d bytes give %+v; want an error or %+v", n, size, got, want)
				}
				if err == nil && got == want {
					same++
				}
			}
			// A tar ends with two blocks of zeros, but one is enough.
			// The last line of a text may be cut if it contains nothing necessary.
			if most := map[string]int{"tar": blocks, "tar with path-info": blocks, "registration": 1, "narinfo": 1}[h.name]; same > most {
				t.Errorf("%d cuts had no effect; want at most %d", same, most)
			}
		})
	}
}

// blocks is the number of bytes after the end of a tar.
const blocks = 512

// TestHostileFlips flips bits, and checks that each flip is an error, changes the metadata, or has no effect.
// A flip must never change only the content of an object.
func TestHostileFlips(t *testing.T) {
	sample := storetest.Small(t)
	for _, h := range hostiles(t, sample) {
		t.Run(h.name, func(t *testing.T) {
			want, err := readAll(t, h.from, h.o, sample.Root)
			if err != nil {
				t.Fatal(err)
			}
			size := 8 * len(readFile(t, h.damaged))
			same := 0
			for bit := 0; bit < size; bit += step(size) {
				got, err := damage(t, h, sample.Root, func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
				switch {
				case err != nil:
				case got == want:
					same++
				case got.claims == want.claims:
					t.Errorf("bit %d of byte %d of %d changes the content, but no metadata:\n%s", bit%8, bit/8, size/8, got.content)
				}
			}
			// Every bit of an export stream is significant.
			// Other forms contain bits that do not matter: times, owners, modes and names outside the image,
			// registration times, unknown keys, and header fields of compressors.
			if h.name == "export" && same > 0 {
				t.Errorf("%d bits have no effect; want none", same)
			}
			t.Logf("%d of %d bits have no effect", same, size/step(size))
		})
	}
}

// TestHostileLengths puts huge numbers in place of each length, and checks that they do no harm.
func TestHostileLengths(t *testing.T) {
	sample := storetest.Small(t)
	for _, h := range hostiles(t, sample) {
		b := readFile(t, h.damaged)
		for _, n := range []uint64{1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			t.Run(fmt.Sprintf("%s/%d", h.name, n), func(t *testing.T) {
				want, err := readAll(t, h.from, h.o, sample.Root)
				if err != nil {
					t.Fatal(err)
				}
				var changes []func([]byte) []byte
				switch {
				case strings.HasPrefix(h.name, "export") && !strings.Contains(h.name, ","), h.name == "nario2":
					for at := 0; at+8 <= len(b); at += 8 { // numbers are aligned
						changes = append(changes, func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], n); return b })
					}
				case h.name == "tar" || h.name == "tar with path-info":
					for at := 0; at+512 <= len(b); at += 512 {
						// Only regular files have a size that counts.
						if string(b[at+257:at+262]) == "ustar" && b[at+156] == '0' {
							changes = append(changes, func(b []byte) []byte { return tarSize(b, at, n) })
						}
					}
				case h.name == "narinfo", h.name == "registration", h.name == "path-info.json":
					for _, info := range sample.Infos {
						size := fmt.Sprint(info.NarSize)
						changes = append(changes, func(b []byte) []byte { return bytes.Replace(b, []byte(size), fmt.Append(nil, n), 1) })
					}
					changes = append(changes, func(b []byte) []byte { return bytes.Replace(b, []byte("\n0\n"), fmt.Appendf(nil, "\n%d\n", n), 1) })
				}
				same := 0
				for i, change := range changes {
					if bytes.Equal(change(slices.Clone(b)), b) {
						continue
					}
					got, err := damage(t, h, sample.Root, change)
					if err == nil && got == want {
						same++
						continue
					}
					if err == nil && h.claims && got.claims == want.claims {
						t.Errorf("number %d set to %d changes the content, but no metadata", i, n)
					}
				}
				// The registration time of each object does not matter.
				if most := map[string]int{"nario2": len(sample.Infos)}[h.name]; same > most {
					t.Errorf("%d has no effect at %d places; want at most %d", n, same, most)
				}
			})
		}
	}
}

// tarSize changes the size in a header to n in GNU tar's base-256 notation, and corrects the checksum.
func tarSize(b []byte, at int, n uint64) []byte {
	h := b[at : at+512]
	copy(h[124:136], []byte{0x80, 0, 0, 0})
	binary.BigEndian.PutUint64(h[128:136], n)
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// TestHostileDepth checks that 10,000 nested directories are an error.
func TestHostileDepth(t *testing.T) {
	sample := storetest.Small(t)
	info, err := sample.Info(t.Context(), sample.Root)
	if err != nil {
		t.Fatal(err)
	}
	var object []byte
	words := func(words ...string) {
		for _, w := range words {
			object = binary.LittleEndian.AppendUint64(object, uint64(len(w)))
			object = append(append(object, w...), make([]byte, -len(w)&7)...)
		}
	}
	words("nix-archive-1")
	for range 10_000 {
		words("(", "type", "directory", "entry", "(", "name", "d", "node")
	}
	export := append(binary.LittleEndian.AppendUint64(nil, 1), object...)
	dir := sample.WriteCache(t, "none")
	if err := os.WriteFile(filepath.Join(dir, "nar", info.NarHash.Hex()+".nar"), object, 0o644); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, info.Path.Digest()+".narinfo")
	text := strings.Replace(string(readFile(t, name)), fmt.Sprintf("NarSize: %d", info.NarSize), fmt.Sprintf("NarSize: %d", len(object)), 1)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for kind, from := range map[string]string{"export": writeFile(t, export), "cache": dir} {
		if _, err := readAll(t, from, Options{}, sample.Root); err == nil || !strings.Contains(err.Error(), "deeper than") {
			t.Errorf("%s: %v; want an error with the maximum depth", kind, err)
		}
	}
}

// TestHostileWindows checks the error for compressed data whose window would need too much memory.
func TestHostileWindows(t *testing.T) {
	sample := storetest.Small(t)
	info, err := sample.Info(t.Context(), sample.Root)
	if err != nil {
		t.Fatal(err)
	}
	for how, b := range map[string][]byte{
		"zstd": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00},
		"xz":   readFile(t, "../decompress/testdata/window256.xz"),
		"lzip": []byte("LZIP\x01\x1c\x00\x00\x00\x00\x00"),
	} {
		dir := sample.WriteCache(t, "none")
		name := filepath.Join(dir, info.Path.Digest()+".narinfo")
		text := strings.Replace(string(readFile(t, name)), "Compression: none", "Compression: "+how, 1)
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "nar", info.NarHash.Hex()+".nar"), b, 0o644)); err != nil {
			t.Fatal(err)
		}
		for kind, from := range map[string]string{"file": writeFile(t, b), "cache": dir} {
			if _, err := readAll(t, from, Options{}, sample.Root); err == nil || !strings.Contains(err.Error(), how+": window larger than 128 MiB") {
				t.Errorf("%s, %s: %v; want an error about the window", how, kind, err)
			}
		}
	}
}

// bomb returns a small zstd frame that decompresses to blocks times 128 KiB.
func bomb(blocks int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3} // a window of 128 KiB
	for i := range blocks {
		header := uint32(128<<10)<<3 | 1<<1 // repeats one byte
		if i == blocks-1 {
			header |= 1
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}

// TestHostileBombs checks that decompression bombs are errors and need little memory.
func TestHostileBombs(t *testing.T) {
	sample := storetest.Small(t)
	info, err := sample.Info(t.Context(), sample.Root)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 32<<20)
	bombs := map[string][]byte{
		"xz": readFile(t, "../decompress/testdata/zeros.xz"), "bzip2": readFile(t, "../decompress/testdata/zeros.bz2"),
		"lzip": readFile(t, "../decompress/testdata/zeros.lz"),
		"zstd": bomb(testrun.Of(8_000, 100_000)), // 1 or 12 GiB
	}
	for _, how := range []string{"gzip", "br", "lz4"} {
		bombs[how] = pack(t, how, zeros)
	}
	for how, b := range bombs {
		dir := sample.WriteCache(t, "none")
		name := filepath.Join(dir, info.Path.Digest()+".narinfo")
		text := strings.Replace(string(readFile(t, name)), "Compression: none", "Compression: "+how, 1)
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "nar", info.NarHash.Hex()+".nar"), b, 0o644)); err != nil {
			t.Fatal(err)
		}
		sources := map[string]string{"cache": dir}
		if how != "br" {
			sources["file"] = writeFile(t, b)
		}
		for kind, from := range sources {
			peak := peakHeap(func() { _, err = readAll(t, from, Options{}, sample.Root) })
			if err == nil {
				t.Errorf("%s, %s: a bomb was accepted; want an error", how, kind)
			}
			if peak > 64<<20 {
				t.Errorf("%s, %s: %d MiB of memory for %d bytes", how, kind, peak>>20, len(b))
			}
		}
	}
}

// TestHostileMemory checks that reading a large object takes little memory in each form.
func TestHostileMemory(t *testing.T) {
	if testrun.Race {
		t.Skip("measures memory")
	}
	sample := storetest.Large(t, 80<<20)
	narinfo := sample.WriteCache(t, "zstd")
	export := sample.WriteExport(t)
	registration := sample.WriteRegistration(t, true)
	for _, f := range []struct {
		name, from string
		o          Options
	}{
		{"export", export, Options{}},
		{"export, gzip", gzipped(t, export), Options{}},
		{"tar", sample.WriteTar(t), Options{References: registration}},
		{"root", sample.WriteRoot(t), Options{References: registration}},
		{"cache", narinfo, Options{}},
	} {
		var err error
		peak := peakHeap(func() { _, err = readAll(t, f.from, f.o, sample.Root) })
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		t.Logf("%s: %d MiB", f.name, peak>>20)
		if peak > 64<<20+8<<20 {
			t.Errorf("%s: the heap grew by %d MiB", f.name, peak>>20)
		}
	}
}
