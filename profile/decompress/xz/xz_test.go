package xz

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

var update = flag.Bool("update", false, "make testdata with the program xz")

const window = 128 << 20

// numbers returns a function whose results look random, and are the same in each run.
func numbers(seed uint64) func(n int) int {
	return func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
}

// contents returns what the files in testdata contain.
func contents() map[string][]byte {
	var lines, records, mixed, laps bytes.Buffer
	next := numbers(1)
	for i := range 600 {
		fmt.Fprintf(&lines, "/nix/store/%05x-%s/lib%c.so.%d\n", next(1<<20), []string{"glibc", "zlib", "openssl"}[next(3)], 'a'+next(26), i%7)
	}
	for i := range 1500 {
		records.Write([]byte{byte(i), byte(i >> 8), 0, byte(next(4)), byte(next(256)), 0, 0xff, byte(i * 3)})
	}
	branches := make([]byte, 5003) // opcodes of all processors, and the beginnings of small and large addresses
	opcodes := "\xe8\xe9\x00\xff\x01\xf0\xf8\xeb\x40\x7f\x48\x94\x90\x97\x10\x12\x16\x05\x50"
	for i := range branches {
		branches[i] = opcodes[next(len(opcodes))]
	}
	for range 66_000 {
		mixed.WriteByte(byte(next(256)))
	}
	mixed.Write(lines.Bytes())
	for period := lines.Bytes()[:3001]; laps.Len() < 5<<20; {
		laps.Write(period)
		if next(40) == 0 {
			period[next(len(period))]++
		}
	}
	return map[string][]byte{
		"empty": nil, "byte": []byte("x"), "lines": lines.Bytes(), "records": records.Bytes(), "branches": branches, "mixed": mixed.Bytes(),
		"laps": laps.Bytes(), "zeros": make([]byte, 5<<20),
	}
}

// recorded lists the files in testdata, and the arguments with which xz made each.
var recorded = []struct{ content, args string }{
	{"empty", ""},
	{"empty", "--check=none"},
	{"byte", ""},
	{"lines", "-6"},
	{"lines", "-9e"},
	{"lines", "-0 --check=none"},
	{"lines", "--check=crc32"},
	{"lines", "--check=sha256"},
	{"lines", "-T2 --block-size=5000"},
	{"lines", "-T1 --block-size=5000"},
	{"lines", "--flush-timeout=1"},
	{"lines", "--lzma2=lc=0,lp=0,pb=0"},
	{"lines", "--lzma2=lc=4,lp=0,pb=0"},
	{"lines", "--lzma2=lc=2,lp=2,pb=4"},
	{"records", ""},
	{"records", "--lzma2=lc=0,lp=3,pb=3"},
	{"records", "--lzma2=lc=0,lp=4,pb=4,mode=fast,mf=hc3,nice=8"},
	{"records", "--delta=dist=8 --lzma2=preset=6"},
	{"records", "--delta=dist=256 --delta --lzma2=preset=6"},
	{"branches", "--x86 --lzma2=preset=6"},
	{"branches", "--x86=start=65536 --delta=dist=4 --lzma2=preset=6"},
	{"branches", "--powerpc --lzma2=preset=6"},
	{"branches", "--ia64 --lzma2=preset=6"},
	{"branches", "--arm --lzma2=preset=6"},
	{"branches", "--armthumb --lzma2=preset=6"},
	{"branches", "--arm64=start=16 --lzma2=preset=6"},
	{"branches", "--sparc --x86 --delta --lzma2=preset=6"},
	{"mixed", "-1"},
	{"laps", "--lzma2=dict=4KiB"},
	{"laps", "--lzma2=dict=6KiB,lc=2,lp=1"},
	{"zeros", "--lzma2=dict=4KiB"},
}

func recordedName(content, args string) string {
	name := strings.Trim(strings.NewReplacer("--lzma2=preset=6", "", "--", "", "-", "", "=", "", ",", "-", " ", "-").Replace(args), "-")
	return filepath.Join("testdata", strings.Trim(content+"-"+name, "-")+".xz")
}

// files returns the files in testdata, and what they contain.
func files(t testing.TB) (names []string, packed, plain map[string][]byte) {
	t.Helper()
	packed, plain = make(map[string][]byte), make(map[string][]byte)
	all := contents()
	for _, f := range recorded {
		name := recordedName(f.content, f.args)
		if *update {
			cmd := exec.Command("xz", append(strings.Fields(f.args), "-c")...)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(all[f.content]), os.Stderr
			b, err := cmd.Output()
			if err == nil {
				err = os.WriteFile(name, b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		packed[name], plain[name] = b, all[f.content]
	}
	return names, packed, plain
}

func decode(r io.Reader) ([]byte, error) { return io.ReadAll(NewReader(r, Options{Window: window})) }

func TestRecorded(t *testing.T) {
	names, packed, plain := files(t)
	reused := NewReader(nil, Options{})
	for _, name := range names {
		b := packed[name]
		padded := append(slices.Clone(b), make([]byte, 8)...)
		for how, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b)), "with its end": iotest.DataErrReader(bytes.NewReader(b)),
			"with padding": bytes.NewReader(padded),
		} {
			if got, err := decode(r); !bytes.Equal(got, plain[name]) || err != nil {
				t.Errorf("%s, %s: %d bytes, %v; want %d, <nil>", name, how, len(got), err, len(plain[name]))
			}
		}
		reused.Reset(io.MultiReader(bytes.NewReader(padded), bytes.NewReader(b)), Options{Window: window})
		if got, err := io.ReadAll(reused); !bytes.Equal(got, slices.Concat(plain[name], plain[name])) || err != nil {
			t.Errorf("%s twice: %d bytes, %v; want %d, <nil>", name, len(got), err, 2*len(plain[name]))
		}
	}
}

// TestRecordedUses checks that the recorded files use what they are there for: chunks as they are, resets, and several laps.
func TestRecordedUses(t *testing.T) {
	_, packed, plain := files(t)
	var z *Reader
	used := make(map[string]bool)
	for name, b := range packed {
		z = NewReader(bytes.NewReader(b), Options{Window: window})
		if _, err := io.Copy(io.Discard, z); err != nil {
			t.Fatal(name, err)
		}
		used["lap"] = used["lap"] || len(plain[name]) > z.Memory()
		used["blocks"] = used["blocks"] || z.stream.blocks > 1
		used["filters"] = used["filters"] || len(z.block.filters) == 3
		used["sizes"] = used["sizes"] || z.block.size != unknown && z.block.packed != unknown && z.block.packed != 0
		const properties = 12 + 12 + 5 // in the first chunk, after a block's header of 12 bytes
		used["lp"] = used["lp"] || len(b) > properties && b[12] == 2 && b[properties] == (4*5+4)*9+0
	}
	for _, what := range []string{"lap", "blocks", "filters", "sizes", "lp"} {
		if !used[what] {
			t.Errorf("no file uses %s", what)
		}
	}
}

// TestCut checks that a file cut at any byte is io.ErrUnexpectedEOF after the right content.
func TestCut(t *testing.T) {
	names, packed, plain := files(t)
	for _, name := range names {
		b := packed[name]
		step := max(1, len(b)/testrun.Of(60, 3000))
		if len(plain[name]) > 1<<20 {
			step = max(1, len(b)/testrun.Of(6, 60))
		}
		for n := 0; n < len(b); n += step {
			got, err := decode(bytes.NewReader(b[:n]))
			if !bytes.HasPrefix(plain[name], got) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes of %s: %d bytes, %v; want the beginning, %v", n, len(b), name, len(got), err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestDamaged checks that each changed bit is an error, except in what nothing checks.
func TestDamaged(t *testing.T) {
	names, packed, plain := files(t)
	for _, name := range names {
		b := packed[name]
		step := max(1, 8*len(b)/testrun.Of(150, 5000))
		if len(plain[name]) > 1<<20 {
			step = max(1, 8*len(b)/testrun.Of(8, 200))
		}
		for bit := 0; bit < 8*len(b); bit += step {
			b[bit/8] ^= 1 << (bit % 8)
			got, err := decode(bytes.NewReader(b))
			b[bit/8] ^= 1 << (bit % 8)
			if err == nil && !(strings.Contains(name, "checknone") && len(got) == len(plain[name])) {
				t.Errorf("%s: with bit %d of byte %#x changed: %d bytes, <nil>; want an error", name, bit%8, bit/8, len(got))
			}
		}
	}
}

// TestMemory checks that a block that declares a large window takes no more memory than its output needs.
func TestMemory(t *testing.T) {
	small := stored("x", func(x *parts) { x.window = 30 }) // 128 MiB
	_, packed, _ := files(t)
	laps := packed[recordedName("laps", "--lzma2=dict=4KiB")]
	for name, test := range map[string]struct {
		b     []byte
		limit uint64
	}{"128 MiB window, 1 byte": {small, 1 << 20}, "4 KiB window, 5 MiB": {laps, 5 << 20}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := io.Copy(io.Discard, NewReader(bytes.NewReader(test.b), Options{Window: window})); err != nil {
			t.Fatal(name, err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > test.limit {
			t.Errorf("%s: allocated %d bytes; want at most %d", name, got, test.limit)
		}
	}
}

// TestFailingReader checks that an error of the reader is returned.
func TestFailingReader(t *testing.T) {
	broken := errors.New("broken")
	_, packed, _ := files(t)
	b := packed[recordedName("lines", "-6")]
	for _, n := range []int{0, 3, 12, 15, len(b) / 2, len(b) - 13, len(b) - 1, len(b)} {
		if _, err := decode(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("broken after %d of %d bytes: %v; want %v", n, len(b), err, broken)
		}
	}
}

// FuzzReader checks that the output depends neither on how the input arrives nor on what the reader has read before.
func FuzzReader(f *testing.F) {
	names, packed, plain := files(f)
	for _, name := range names {
		if len(packed[name]) < 10_000 && len(plain[name]) < 1<<20 {
			f.Add(packed[name])
		}
	}
	for _, test := range refused {
		f.Add(test.file)
	}
	const most = 4 << 20
	read := func(z *Reader) (string, string) {
		b, err := io.ReadAll(io.LimitReader(z, most))
		return string(b), fmt.Sprint(err)
	}
	reused := NewReader(nil, Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := Options{Window: 16 << 20}
		got, err := read(NewReader(bytes.NewReader(b), o))
		slow, slowErr := read(NewReader(iotest.OneByteReader(bytes.NewReader(b)), o))
		reused.Reset(bytes.NewReader(b), o)
		again, againErr := read(reused)
		if got != slow || err != slowErr || got != again || err != againErr {
			t.Errorf("%d bytes, %s; byte by byte %d, %s; with a used reader %d, %s", len(got), err, len(slow), slowErr, len(again), againErr)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	_, packed, plain := files(b)
	for _, name := range []string{recordedName("lines", "-6"), recordedName("laps", "--lzma2=dict=4KiB")} {
		b.Run(filepath.Base(name), func(b *testing.B) {
			b.SetBytes(int64(len(plain[name])))
			z := NewReader(nil, Options{})
			for b.Loop() {
				z.Reset(bytes.NewReader(packed[name]), Options{Window: window})
				if _, err := io.Copy(io.Discard, z); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
