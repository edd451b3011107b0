package lzip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"hash/crc32"
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

var update = flag.Bool("update", false, "make testdata with the programs lzip.lzip and plzip of Debian")

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
	var lines, mixed, laps, edge bytes.Buffer
	next := numbers(1)
	for i := range 600 {
		fmt.Fprintf(&lines, "/nix/store/%05x-%s/lib%c.so.%d\n", next(1<<20), []string{"glibc", "zlib", "openssl"}[next(3)], 'a'+next(26), i%7)
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
	noise := make([]byte, 8<<10)
	for i := range noise {
		noise[i] = byte(next(256))
	}
	for range 3 {
		edge.Write(noise)
	}
	return map[string][]byte{
		"empty": nil, "byte": []byte("x"), "lines": lines.Bytes(), "mixed": mixed.Bytes(),
		"laps": laps.Bytes(), "zeros": make([]byte, 5<<20), "edge": edge.Bytes(),
	}
}

// recorded lists the files in testdata, and how each was made.
var recorded = []struct{ content, program, args string }{
	{"empty", "lzip.lzip", ""},
	{"empty", "plzip", ""},
	{"byte", "lzip.lzip", ""},
	{"lines", "lzip.lzip", "-0"},
	{"lines", "lzip.lzip", "-6"},
	{"lines", "lzip.lzip", "-9"},
	{"lines", "lzip.lzip", "-s6KiB"},
	{"lines", "plzip", "-0"},
	{"lines", "plzip", "-9"},
	{"lines", "plzip", "-B8KiB -s4KiB"}, // members of 8 KiB
	{"mixed", "lzip.lzip", "-1"},
	{"laps", "lzip.lzip", "-s4KiB"},
	{"zeros", "lzip.lzip", "-s4KiB"},
	{"edge", "lzip.lzip", "-s8KiB"},
}

func recordedName(content, program, args string) string {
	program, _, _ = strings.Cut(program, ".")
	return filepath.Join("testdata", content+"-"+program+strings.ReplaceAll(args, " ", "")+".lz")
}

// files returns the files in testdata, and what they contain.
func files(t testing.TB) (names []string, packed, plain map[string][]byte) {
	t.Helper()
	packed, plain = make(map[string][]byte), make(map[string][]byte)
	all := contents()
	for _, f := range recorded {
		name := recordedName(f.content, f.program, f.args)
		if *update {
			cmd := exec.Command(f.program, append(strings.Fields(f.args), "-c")...)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(all[f.content]), os.Stderr
			b, err := cmd.Output()
			if err == nil {
				err = os.WriteFile(name, b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, name)
		packed[name], plain[name] = readFile(t, name), all[f.content]
	}
	return names, packed, plain
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(r io.Reader) ([]byte, error) { return io.ReadAll(NewReader(r, Options{Window: window})) }

// trailer is what a member's trailer declares, and where it ends.
type trailer struct {
	sum  uint32
	size uint64
	end  int
}

// trailers finds the trailers of a file from its end.
func trailers(b []byte) (all []trailer, ok bool) {
	for len(b) > 0 {
		if len(b) < 36 {
			return nil, false
		}
		last := b[len(b)-20:]
		size := binary.LittleEndian.Uint64(last[12:])
		if size < 36 || size > uint64(len(b)) {
			return nil, false
		}
		all = append(all, trailer{binary.LittleEndian.Uint32(last), binary.LittleEndian.Uint64(last[4:]), len(b)})
		b = b[:len(b)-int(size)]
	}
	slices.Reverse(all)
	return all, true
}

func TestRecorded(t *testing.T) {
	names, packed, plain := files(t)
	reused := NewReader(nil, Options{})
	for _, name := range names {
		b := packed[name]
		for how, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b)), "with its end": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			if got, err := decode(r); !bytes.Equal(got, plain[name]) || err != nil {
				t.Errorf("%s, %s: %d bytes, %v; want %d, <nil>", name, how, len(got), err, len(plain[name]))
			}
		}
		reused.Reset(io.MultiReader(bytes.NewReader(b), bytes.NewReader(b)), Options{Window: window})
		got, err := io.ReadAll(reused)
		if len(plain[name]) == 0 {
			if err == nil || err.Error() != "one of several members is empty" {
				t.Errorf("%s twice: %v; want an error", name, err)
			}
		} else if !bytes.Equal(got, slices.Concat(plain[name], plain[name])) || err != nil {
			t.Errorf("%s twice: %d bytes, %v; want %d, <nil>", name, len(got), err, 2*len(plain[name]))
		}
	}
}

// TestRecordedUses checks that the recorded files use what they are there for.
func TestRecordedUses(t *testing.T) {
	_, packed, plain := files(t)
	if all, ok := trailers(packed[recordedName("lines", "plzip", "-B8KiB -s4KiB")]); !ok || len(all) < 2 {
		t.Errorf("plzip made %d members; want several", len(all))
	}
	name := recordedName("laps", "lzip", "-s4KiB")
	z := NewReader(bytes.NewReader(packed[name]), Options{Window: window})
	if _, err := io.Copy(io.Discard, z); err != nil || len(plain[name]) <= z.Memory() {
		t.Errorf("%s: window takes %d bytes of %d, %v; want several laps", name, z.Memory(), len(plain[name]), err)
	}
}

// TestWindowEdge checks that a match may be as far away as the window is large, and no farther.
func TestWindowEdge(t *testing.T) {
	_, packed, plain := files(t)
	name := recordedName("edge", "lzip", "-s8KiB")
	b := bytes.Clone(packed[name])
	if b[5] != 13 || len(b) > len(plain[name])/2 {
		t.Fatalf("window %#x, %d bytes; want 8 KiB, and matches 8 KiB away", b[5], len(b))
	}
	b[5] |= 1 << 5 // 7.5 KiB
	if got, err := decode(bytes.NewReader(b)); err == nil || !bytes.HasPrefix(plain[name], got) || len(got) < 8<<10 {
		t.Errorf("with a smaller window: %d bytes, %v; want the first 8 KiB and an error", len(got), err)
	}
}

// TestCut checks that a file cut at any byte is io.ErrUnexpectedEOF after the right content.
func TestCut(t *testing.T) {
	names, packed, plain := files(t)
	for _, name := range names {
		b := packed[name]
		step := max(1, len(b)/testrun.Of(60, 5000))
		if len(plain[name]) > 1<<20 {
			step = max(1, len(b)/testrun.Of(6, 60))
		}
		if len(b) < 100 {
			step = 1
		}
		all, _ := trailers(b)
		for n := 0; n < len(b); n += step {
			got, err := decode(bytes.NewReader(b[:n]))
			want := io.ErrUnexpectedEOF
			if slices.ContainsFunc(all, func(m trailer) bool { return m.end == n }) {
				want = nil // a member ends here
			}
			if !bytes.HasPrefix(plain[name], got) || !errors.Is(err, want) {
				t.Errorf("%d of %d bytes of %s: %d bytes, %v; want the beginning, %v", n, len(b), name, len(got), err, want)
			}
		}
	}
}

// TestDamaged checks that each changed bit is an error, except those that enlarge the window.
func TestDamaged(t *testing.T) {
	names, packed, plain := files(t)
	for _, name := range names {
		b := packed[name]
		step := max(1, 8*len(b)/testrun.Of(150, 5000))
		if len(plain[name]) > 1<<20 {
			step = max(1, 8*len(b)/testrun.Of(8, 200))
		}
		if len(b) < 100 {
			step = 1
		}
		for bit := 0; bit < 8*len(b); bit += step {
			b[bit/8] ^= 1 << (bit % 8)
			got, err := decode(bytes.NewReader(b))
			b[bit/8] ^= 1 << (bit % 8)
			const window = 5
			if err == nil && !(bit/8 == window && bytes.Equal(got, plain[name])) {
				t.Errorf("%s: with bit %d of byte %#x changed: %d bytes, <nil>; want an error", name, bit%8, bit/8, len(got))
			}
		}
	}
}

// TestMemory checks that a member that declares a large window takes no more memory than its output needs.
func TestMemory(t *testing.T) {
	_, packed, _ := files(t)
	small := bytes.Clone(packed[recordedName("byte", "lzip", "")])
	small[5] = 27 // 128 MiB
	laps := packed[recordedName("laps", "lzip", "-s4KiB")]
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
	b := packed[recordedName("lines", "lzip", "-6")]
	for _, n := range []int{0, 3, 6, 11, len(b) / 2, len(b) - 21, len(b) - 20, len(b) - 1, len(b)} {
		if _, err := decode(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("broken after %d of %d bytes: %v; want %v", n, len(b), err, broken)
		}
	}
}

// TestProgram checks that a tar of Go's own sources, in which matches reach far, is read as the program lzip reads it.
func TestProgram(t *testing.T) {
	if _, err := exec.LookPath("lzip"); err != nil {
		t.Skip("no lzip on this machine")
	}
	dir := t.TempDir()
	tar := filepath.Join(dir, "tar")
	source := filepath.Join(build.Default.GOROOT, "src")
	if output, err := exec.Command("tar", "-cf", tar, "-C", source, "archive", "bytes", "compress", "encoding", "net").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, output)
	}
	levels := []string{"-0", "-3", "-9"}
	for _, level := range levels[:testrun.Of(1, len(levels))] {
		if output, err := exec.Command("lzip", level, "-kf", tar).CombinedOutput(); err != nil {
			t.Fatalf("lzip: %v\n%s", err, output)
		}
		got, err := decode(bytes.NewReader(readFile(t, tar+".lz")))
		if want := readFile(t, tar); !bytes.Equal(got, want) || err != nil {
			t.Errorf("lzip %s: %d bytes, %v; want %d, <nil>", level, len(got), err, len(want))
		}
	}
}

// FuzzReader checks that the output depends neither on how the input arrives nor on what the reader has read before,
// and that it is what the trailers say.
func FuzzReader(f *testing.F) {
	names, packed, plain := files(f)
	for _, name := range names {
		if len(packed[name]) < 10_000 && len(plain[name]) < 1<<20 {
			f.Add(packed[name])
		}
	}
	for _, test := range refused(f) {
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
		if err != fmt.Sprint(nil) || len(got) == most {
			return
		}
		all, ok := trailers(b)
		if !ok {
			t.Fatalf("%d bytes, but the trailers do not lead to the beginning", len(got))
		}
		for i, m := range all {
			if m.size > uint64(len(got)) || crc32.ChecksumIEEE([]byte(got[:m.size])) != m.sum {
				t.Fatalf("member %d has another content than its trailer says", i)
			}
			got = got[m.size:]
		}
		if got != "" {
			t.Errorf("%d bytes more than the trailers say", len(got))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	_, packed, plain := files(b)
	for _, name := range []string{recordedName("lines", "lzip", "-6"), recordedName("laps", "lzip", "-s4KiB")} {
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
