package decompress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/export-profile/export-profile/profile/decompress/lzip"
	"github.com/export-profile/export-profile/profile/decompress/xz"
)

// plain returns the content of the files in testdata, which Debian's xz, bzip2 and lzip made.
func plain() []byte {
	var b bytes.Buffer
	for i := range 60 {
		fmt.Fprintf(&b, "line %d of what is compressed\n", i)
	}
	return b.Bytes()
}

// compress compresses b with a Go library.
func compress(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch name {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "br":
		w = brotli.NewWriterLevel(&out, 1)
	case "lz4":
		z := lz4.NewWriter(&out)
		err, w = z.Apply(lz4.BlockSizeOption(lz4.Block64Kb)), z
	default:
		t.Fatalf("no compressor for %q", name)
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole returns plain in every compression.
func whole(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"xz": testdata(t, "plain.xz"), "bzip2": testdata(t, "plain.bz2"), "lzip": testdata(t, "plain.lz")}
	for _, name := range []string{"gzip", "zstd", "br", "lz4"} {
		all[name] = compress(t, name, plain())
	}
	return all
}

// readers holds both constructors. decompressFile does not expect trailing data.
var readers = map[string]func(string, io.Reader) ([]byte, error){
	"NewReader": decompress,
	"NewFileReader": func(name string, r io.Reader) ([]byte, error) {
		b, trailing, err := decompressFile(name, r)
		if trailing {
			err = errors.Join(err, errors.New("trailing data"))
		}
		return b, err
	},
}

func decompress(name string, r io.Reader) ([]byte, error) {
	return readAll(NewReader(name, r))
}

func decompressFile(name string, r io.Reader) (b []byte, trailing bool, err error) {
	b, err = readAll(NewFileReader(name, r, func() { trailing = true }))
	return b, trailing, err
}

func readAll(z io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(z)
	if err := errors.Join(err, z.Close(), z.Close()); err != nil {
		return b, err
	}
	return b, nil
}

func TestRoundTrip(t *testing.T) {
	all := whole(t)
	all["none"] = plain()
	all[""] = all["bzip2"]
	for name, b := range all {
		for kind, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b)), "with its end": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, err := decompress(name, r)
			if !bytes.Equal(got, plain()) || err != nil {
				t.Errorf("%q, %s: %d bytes, %v; want %d, <nil>", name, kind, len(got), err, len(plain()))
			}
		}
		for kind, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b)), "with its end": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, trailing, err := decompressFile(name, r)
			if !bytes.Equal(got, plain()) || trailing || err != nil {
				t.Errorf("%q, %s, as a file: %d bytes, trailing data: %v, %v; want %d, false, <nil>", name, kind, len(got), trailing, err, len(plain()))
			}
		}
	}
	for _, name := range []string{"none", "xz", "bzip2", "zstd", "gzip", "br", "lz4", "lzip"} {
		if _, ok := all[name]; !ok {
			t.Errorf("%q is not tested", name)
		}
	}
}

// TestSeveral checks that files of several streams, members, frames or blocks are read in full.
func TestSeveral(t *testing.T) {
	two := func(name string) []byte {
		return append(compress(t, name, plain()[:700]), compress(t, name, plain()[700:])...)
	}
	skippable := []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc")
	for _, test := range []struct {
		name, what string
		bytes      []byte
	}{
		{"gzip", "members", two("gzip")},
		{"zstd", "frames", two("zstd")},
		{"zstd", "skippable frames", slices.Concat(skippable, two("zstd"), skippable)},
		{"lz4", "frames", two("lz4")},
		{"lz4", "skippable frames", slices.Concat(skippable, two("lz4"), skippable)},
		{"xz", "streams with different checks", testdata(t, "two.xz")},
		{"xz", "with padding between streams", slices.Concat(testdata(t, "two.xz")[:twoXZ(t)], make([]byte, 12), testdata(t, "two.xz")[twoXZ(t):])},
		{"xz", "with padding", append(testdata(t, "plain.xz"), make([]byte, 8)...)},
		{"xz", "blocks", testdata(t, "blocks.xz")},
		{"xz", "of xz -9", testdata(t, "nine.xz")},
		{"bzip2", "streams", testdata(t, "two.bz2")},
		{"lzip", "members", testdata(t, "two.lz")},
	} {
		for as, decompress := range readers {
			for kind, r := range map[string]io.Reader{
				"whole": bytes.NewReader(test.bytes), "byte by byte": iotest.OneByteReader(bytes.NewReader(test.bytes)), "with its end": iotest.DataErrReader(bytes.NewReader(test.bytes)),
			} {
				got, err := decompress(test.name, r)
				if !bytes.Equal(got, plain()) || err != nil {
					t.Errorf("%s: %s, %s, %s: %d bytes, %v; want %d, <nil>", as, test.name, test.what, kind, len(got), err, len(plain()))
				}
			}
		}
	}
}

// twoXZ returns where the second stream begins in two.xz.
func twoXZ(t testing.TB) int {
	t.Helper()
	return bytes.LastIndex(testdata(t, "two.xz"), []byte(xz.Magic))
}

// validCut returns whether a file cut after n bytes is still valid. In zstd, an empty file is one without frames:
// the reader of the NAR, stream or tar notices the early end.
func validCut(as, name string, n int) bool { return as == "NewReader" && name == "zstd" && n == 0 }

// TestCut checks that a file cut at any byte leads to io.ErrUnexpectedEOF, after the right content.
func TestCut(t *testing.T) {
	for name, b := range whole(t) {
		for as, decompress := range readers {
			for n := range b {
				if validCut(as, name, n) {
					continue
				}
				got, err := decompress(name, bytes.NewReader(b[:n]))
				if !bytes.HasPrefix(plain(), got) {
					t.Errorf("%s: %s: %d of %d bytes are %q; want the beginning", as, name, n, len(b), got)
				}
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: %s: %d of %d bytes: %v; want %v", as, name, n, len(b), err, io.ErrUnexpectedEOF)
				}
			}
		}
	}
}

// TestCutLZ4 is TestCut for lz4 frames with all features of the format.
func TestCutLZ4(t *testing.T) {
	var b bytes.Buffer
	skippable := "\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"
	b.WriteString(skippable)
	ends := map[int]bool{b.Len(): true}
	for _, options := range [][]lz4.Option{
		{lz4.BlockChecksumOption(true), lz4.ChecksumOption(true)},
		{lz4.ChecksumOption(false), lz4.SizeOption(uint64(len(plain())))},
		{lz4.CompressionLevelOption(lz4.Level9)},
	} {
		w := lz4.NewWriter(&b)
		if err := w.Apply(append(options, lz4.BlockSizeOption(lz4.Block64Kb))...); err != nil {
			t.Fatal(err)
		}
		_, err := w.Write(plain())
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		ends[b.Len()] = true
	}
	want := bytes.Repeat(plain(), 3)
	for n := range b.Len() + 1 {
		for kind, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b.Bytes()[:n]), "byte by byte": iotest.OneByteReader(bytes.NewReader(b.Bytes()[:n])),
		} {
			got, err := decompress("lz4", r)
			if !bytes.HasPrefix(want, got) || ends[n] != (err == nil) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes, %s: %d bytes, %v; want the beginning, and %v unless a frame ends here", n, b.Len(), kind, len(got), err, io.ErrUnexpectedEOF)
			}
		}
	}
	if got, err := decompress("lz4", &b); !bytes.Equal(got, want) || err != nil {
		t.Errorf("three frames: %d bytes, %v; want %d", len(got), err, len(want))
	}
}

func TestLZ4Refuses(t *testing.T) {
	for name, b := range map[string]string{
		"legacy frame":      "\x02\x21\x4c\x18\x01\x00\x00\x00x",
		"with a dictionary": "\x04\x22\x4d\x18\x61\x40\x01\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		if _, err := decompress("lz4", strings.NewReader(b)); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v; want %v", name, err, errors.ErrUnsupported)
		}
	}
}

// TestFailingReader checks that a read error is returned, and not taken for the end.
func TestFailingReader(t *testing.T) {
	broken := errors.New("broken")
	for name, b := range whole(t) {
		for as, decompress := range readers {
			for _, n := range []int{0, 1, 10, len(b) / 2, len(b) - 1, len(b)} {
				_, err := decompress(name, io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)))
				if !errors.Is(err, broken) {
					t.Errorf("%s: %s: broken after %d of %d bytes: %v; want %v", as, name, n, len(b), err, broken)
				}
			}
		}
	}
}

// TestDamaged checks that a changed bit is an error or makes no difference. Only brotli has no checksum.
func TestDamaged(t *testing.T) {
	for name, b := range whole(t) {
		for as, decompress := range readers {
			for bit := 0; bit < 8*len(b); bit += 5 {
				b[bit/8] ^= 1 << (bit % 8)
				got, err := decompress(name, bytes.NewReader(b))
				b[bit/8] ^= 1 << (bit % 8)
				if err == nil && !bytes.Equal(got, plain()) && name != "br" {
					t.Errorf("%s: %s: with bit %d of byte %#x changed the content differs", as, name, bit%8, bit/8)
				}
			}
		}
	}
}

// TestTrailing checks that data after a stream is an error unless it is another stream.
func TestTrailing(t *testing.T) {
	for name, b := range whole(t) {
		for _, trailing := range []string{"x", "\x00", "something else", "\x00\x00\x00\x00", strings.Repeat("\x00", 512), strings.Repeat("x", 100_000)} {
			if name == "xz" && trailing[0] == 0 && len(trailing)%4 == 0 {
				continue // padding in xz
			}
			got, err := decompress(name, bytes.NewReader(append(slices.Clone(b), trailing...)))
			if err == nil {
				t.Errorf("%s: %d bytes and %d after them: %d, <nil>; want an error", name, len(b), len(trailing), len(got))
			}
		}
	}
}

// TestFileTrailing checks that a file may be followed by anything except the beginning of more compressed data.
func TestFileTrailing(t *testing.T) {
	all := whole(t)
	delete(all, "br") // no file is recognised as brotli
	for name, b := range all {
		for _, trailing := range []string{"x", "\n", "\x00", "\x00\x00", "\x00\x00\x00\x00", "something else", strings.Repeat("\x00", 512), "\x00\x00\x00\x00x",
			strings.Repeat("\x00", 100_001), strings.Repeat("x", 100_000), "\x00" + string(b)} {
			for kind, r := range map[string]io.Reader{
				"whole":        strings.NewReader(string(b) + trailing),
				"byte by byte": iotest.OneByteReader(strings.NewReader(string(b) + trailing)),
			} {
				want := name != "xz" || trailing != "\x00\x00\x00\x00" && len(trailing) != 512 // that is padding
				got, called, err := decompressFile(name, r)
				if name == "xz" && trailing == "\x00"+string(b) {
					if err == nil || !strings.Contains(err.Error(), "not a multiple of four") {
						t.Errorf("%s, %s: another stream after one zero: %v; want an error", name, kind, err)
					}
					continue
				}
				if !bytes.Equal(got, plain()) || called != want || err != nil {
					t.Errorf("%s, %s, with %.8q after it: %d bytes, trailing data: %v, %v; want %d, %v, <nil>", name, kind, trailing, len(got), called, err, len(plain()), want)
				}
			}
		}
		for _, n := range []int{1, len(firstMagic(name)), len(b) / 2, len(b) - 1} {
			if _, called, err := decompressFile(name, bytes.NewReader(slices.Concat(b, b[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) || called {
				t.Errorf("%s: with %d bytes of another one after it: trailing data: %v, %v; want false, %v", name, n, called, err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestBzip2Trailing checks that one byte is found after a stream, wherever its last bit is.
func TestBzip2Trailing(t *testing.T) {
	for _, name := range []string{"plain.bz2", "two.bz2", "zeros.bz2"} {
		for trailing, want := range map[string]bool{"": false, "x": true} {
			_, got, err := decompressFile("bzip2", strings.NewReader(string(testdata(t, name))+trailing))
			if got != want || err != nil {
				t.Errorf("%s with %q after it: trailing data: %v, %v; want %v, <nil>", name, trailing, got, err, want)
			}
		}
	}
}

// firstMagic returns the first bytes of a compressed file.
func firstMagic(name string) string { return magics[name][0] }

func TestWindow(t *testing.T) {
	lzipWindow := func(bits byte) []byte {
		b := testdata(t, "plain.lz")
		b[len(lzip.Magic)+1] = bits
		return b
	}
	frame := func(descriptor byte) []byte { // no content, one empty last block
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 0x01, 0x00, 0x00}
	}
	for _, test := range []struct {
		name, what string
		bytes      []byte
		large      bool
		says       string
	}{
		{"zstd", "--long", frame(17 << 3), false, ""},
		{"zstd", "--long=28", frame(18 << 3), true, ": 268435456 bytes"},
		{"zstd", "--ultra --long=31", frame(21 << 3), true, ": 2147483648 bytes"},
		{"zstd", "the largest", frame(0xff), true, ": 4123168604160 bytes"},
		{"zstd", "as large as its content, 2^40", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 0x01, 0x00, 0x00}, true, ": 1099511627776 bytes"},
		{"xz", "128 MiB", testdata(t, "window128.xz"), false, ""},
		{"xz", "256 MiB", testdata(t, "window256.xz"), true, ": 268435456 bytes"},
		{"lzip", "128 MiB", lzipWindow(27), false, ""},
		{"lzip", "256 MiB", lzipWindow(28), true, ": 268435456 bytes"},
	} {
		_, err := decompress(test.name, bytes.NewReader(test.bytes))
		var window *WindowError
		if got := errors.As(err, &window); got != test.large || !test.large && err != nil {
			t.Errorf("%s, %s: %v; want a WindowError: %v", test.name, test.what, err, test.large)
		}
		if want := test.name + ": window larger than 128 MiB" + test.says; window != nil && window.Error() != want {
			t.Errorf("%s, %s: %v; want %s", test.name, test.what, err, want)
		}
	}
}

// TestBomb checks that memory does not grow with the decompressed size.
func TestBomb(t *testing.T) {
	const size = 32 << 20
	bomb := func(name string) []byte { return compress(t, name, make([]byte, size)) }
	for name, b := range map[string][]byte{
		"gzip": bomb("gzip"), "zstd": bomb("zstd"), "br": bomb("br"), "lz4": bomb("lz4"),
		"xz": testdata(t, "zeros.xz"), "bzip2": testdata(t, "zeros.bz2"), "lzip": testdata(t, "zeros.lz"),
	} {
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		z, err := NewReader(name, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256<<10)
		var n, peak int64
		for step := 0; err == nil; step++ {
			var m int
			m, err = z.Read(buf)
			n += int64(m)
			if step%64 == 0 {
				runtime.ReadMemStats(&now)
				peak = max(peak, int64(now.HeapAlloc)-int64(before.HeapAlloc))
			}
		}
		if n != size || err != io.EOF {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, n, err, size, io.EOF)
		}
		if peak > 16<<20 {
			t.Errorf("%s: %d bytes of memory for %d that become %d", name, peak, len(b), size)
		}
		z.Close()
	}
}

// TestAgain checks that a reused decoder does not depend on the streams before, complete or not,
// and that a closed reader reads nothing of the next stream.
func TestAgain(t *testing.T) {
	all := whole(t)
	for round := range 20 {
		for name, b := range all {
			for _, n := range []int{0, 1, len(b) / 2, len(b)} {
				z, err := NewReader(name, bytes.NewReader(b[:n]))
				if err != nil {
					continue
				}
				_, _ = io.CopyN(io.Discard, z, int64(round*97))
				if err := z.Close(); err != nil {
					t.Error(err)
				}
				if n, err := z.Read(make([]byte, 1)); n != 0 || !errors.Is(err, fs.ErrClosed) {
					t.Errorf("%s: Read after Close = %d, %v; want 0, %v", name, n, err, fs.ErrClosed)
				}
			}
			if got, err := decompress(name, bytes.NewReader(b)); !bytes.Equal(got, plain()) || err != nil {
				t.Errorf("%s, again: %d bytes, %v; want %d, <nil>", name, len(got), err, len(plain()))
			}
		}
	}
}

// BenchmarkSmall decodes 2000 small NARs' worth of content.
func BenchmarkSmall(b *testing.B) {
	packed := compress(b, "zstd", plain())
	b.ReportAllocs()
	for b.Loop() {
		for range 2000 {
			if _, err := decompress("zstd", bytes.NewReader(packed)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, name := range []string{"lzop", "XZ", "lzma", "compress", "none ", ".gz"} {
		if _, err := NewReader(name, strings.NewReader("")); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("NewReader(%q): %v; want %v", name, err, errors.ErrUnsupported)
		}
	}
}

func TestSniff(t *testing.T) {
	for name, b := range whole(t) {
		want := name
		if name == "br" {
			want = "" // it has no magic number
		}
		b = b[:min(len(b), SniffLen)]
		if got := Sniff(b); got != want {
			t.Errorf("Sniff(%q) = %q; want %q", b, got, want)
		}
	}
	skippable := "\x5f\x2a\x4d\x18\x03\x00\x00\x00abc"
	for head, want := range map[string]string{
		skippable[:4]:                      "zstd",
		skippable:                          "zstd",
		skippable + skippable + zstdMagic:  "zstd",
		skippable + skippable + lz4Magic:   "lz4",
		skippable + lz4Legacy:              "lz4",
		skippable + gzipMagic:              "zstd", // no gzip file begins like this
		"\x50\x2a\x4d\x18\xff\xff\xff\xff": "zstd",
		lz4Legacy:                          "lz4",
		"\xfd\x2f\xb5\x1e":                 "zstd", // of zstd 0.1
		"\x22\xb5\x2f\xfd":                 "zstd",
		"\x27\xb5\x2f\xfd":                 "zstd",
		"\x21\xb5\x2f\xfd":                 "",
		"\x60\x2a\x4d\x18":                 "",
	} {
		if got := Sniff([]byte(head)); got != want {
			t.Errorf("Sniff(%q) = %q; want %q", head, got, want)
		}
	}
	for _, head := range []string{"", "\x1f", "hello!", "\xfd7zXZ", "\x01\x00\x00\x00\x00\x00", "./\x00\x00\x00\x00"} {
		if got := Sniff([]byte(head)); got != "" {
			t.Errorf("Sniff(%q) = %q; want nothing", head, got)
		}
	}
}

// FuzzNewReader checks that no input causes a panic, or more memory and time than the output needs.
func FuzzNewReader(f *testing.F) {
	for name, b := range whole(f) {
		f.Add(name, b)
	}
	f.Add("xz", testdata(f, "window256.xz"))
	f.Add("zstd", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x90, 0x01, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		for _, open := range []func() (io.ReadCloser, error){
			func() (io.ReadCloser, error) { return NewReader(name, bytes.NewReader(b)) },
			func() (io.ReadCloser, error) { return NewFileReader(name, bytes.NewReader(b), func() {}) },
		} {
			if z, err := open(); err == nil {
				_, _ = io.CopyN(io.Discard, z, 16<<20)
				z.Close()
			}
		}
	})
}
