package chunked

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	oldHash = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-libxml2-2.9"
	newHash = "/nix/store/zyxwvsrqpnmlkjihgfdcba9876543210-libxml2-2.9"
)

// noise returns n bytes without a store hash.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

// concat joins byte slices, strings and numbers of line ends.
func concat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		case int:
			b = append(b, bytes.Repeat([]byte("\n"), p)...)
		}
	}
	return b
}

// chunks returns the chunks of a file, as a writer makes them.
func chunks(b []byte) []string {
	var all []string
	for len(b) > 0 {
		piece := b
		if len(b) > MaxPiece {
			piece = b[:PieceEnd(b[:MaxPiece])]
		}
		start := 0
		for _, end := range AppendCuts(nil, piece) {
			all = append(all, string(piece[start:end]))
			start = end
		}
		b = b[len(piece):]
	}
	return all
}

// newBytes returns how many bytes of the chunks of b are in no chunk of a.
func newBytes(a, b []byte) int {
	old := map[string]bool{}
	for _, c := range chunks(a) {
		old[c] = true
	}
	n := 0
	for _, c := range chunks(b) {
		if !old[c] {
			n += len(c)
		}
	}
	return n
}

func TestAppendCuts(t *testing.T) {
	const k = 1 << 10
	hash := len(oldHash) - len("/nix/store")
	path := func(n int) int { return n + len("/nix/store") }
	tests := []struct {
		name string
		in   []byte
		want []int
	}{
		{"empty", nil, nil},
		{"one byte", []byte("a"), []int{1}},
		{"small, with a hash", concat(2*k, oldHash, k), []int{3*k + len(oldHash)}},
		{"no hash", concat(100 * k), []int{100 * k}},
		{"large, no hash", bytes.Repeat([]byte("0123456789abcde\n"), 100*k), []int{k*k - 16, 1600 * k}},
		{"a hash", concat(10*k, oldHash, 10*k), []int{path(10 * k), path(10*k) + hash, 20*k + len(oldHash)}},
		{"a hash at the beginning", concat(oldHash, 10*k), []int{len(oldHash), 10*k + len(oldHash)}},
		{"a hash at the end", concat(10*k, oldHash), []int{path(10 * k), 10*k + len(oldHash)}},
		{"a hash near both ends", concat(k, oldHash, strings.Repeat(newHash, 40), k), []int{2*k + 41*len(oldHash)}},
		{"two hashes near each other", concat(10*k, oldHash, "/lib:", newHash, 10*k),
			[]int{path(10 * k), 10*k + 2*len(oldHash) + 5, 20*k + 2*len(oldHash) + 5}},
		{"two hashes apart", concat(10*k, oldHash, 10*k, newHash, 10*k),
			[]int{path(10 * k), 10*k + len(oldHash), path(20*k + len(oldHash)), 20*k + 2*len(oldHash), 30*k + 2*len(oldHash)}},
		{"a long path ends", concat(10*k, oldHash, strings.Repeat("x", 20*k)),
			[]int{path(10 * k), path(10*k) + hashBytes + maxPath, 30*k + len(oldHash)}},
		{"zeros behind a hash", concat(10*k, oldHash, make([]byte, 10), 10*k),
			[]int{path(10 * k), path(10*k) + hash + 10, 20*k + len(oldHash) + 10}},
		{"too many digits", concat(10*k, strings.Replace(oldHash, "/0", "/00", 1), 10*k), []int{20*k + len(oldHash) + 1}},
		{"too few digits", concat(10*k, strings.Replace(oldHash, "/0", "/", 1), 10*k), []int{20*k + len(oldHash) - 1}},
		{"a letter that is no digit", concat(10*k, strings.Replace(oldHash, "abc", "abe", 1), 10*k), []int{20*k + len(oldHash)}},
		{"no slash", concat(10*k, strings.Replace(oldHash, "/0", "_0", 1), 10*k), []int{20*k + len(oldHash)}},
		{"no dash", concat(10*k, strings.Replace(oldHash, "z-", "z/", 1), 10*k), []int{20*k + len(oldHash)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, AppendCuts(nil, tt.in)); diff != "" {
				t.Errorf("AppendCuts: -want +got:\n%s", diff)
			}
		})
	}
}

// A file with very many hashes has a bounded number of chunks.
func TestAppendCutsManyHashes(t *testing.T) {
	for _, gap := range []int{0, minStable - 1, minStable, 3 * minStable} {
		b := bytes.Repeat(concat(oldHash, gap), MaxPiece/(len(oldHash)+gap))
		got := AppendCuts(nil, b)
		if len(got) > maxCuts {
			t.Errorf("hashes every %d bytes: %d chunks; want at most %d", gap, len(got), maxCuts)
		}
		if gap >= minStable && len(got) < maxVolatile/2 {
			t.Errorf("hashes every %d bytes: %d chunks; want at least %d", gap, len(got), maxVolatile/2)
		}
	}
}

// program returns a program of 64 bits that has size bytes of code, as patchelf leaves it: the path of its libraries is at the end.
func program(path string, size int) []byte {
	le := binary.LittleEndian
	const headers, pages = 4, 4096
	text := noise(11, size/pages*pages)
	copy(text[pages:], make([]byte, pages)) // not only noise
	dynamic := pages + len(text)
	strings := dynamic + 2*pages
	b := concat("\x7fELF\x02\x01\x01", make([]byte, pages-7), text, noise(12, pages), noise(13, pages))
	symbols := noise(14, 200<<10)
	sections := dynamic + pages + 1000
	le.PutUint64(b[32:], 64)               // program headers
	le.PutUint64(b[40:], uint64(sections)) // section headers
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], headers)
	le.PutUint16(b[60:], 12)
	header := func(i int, kind uint32, offset, n int) {
		h := b[64+56*i:]
		le.PutUint32(h, kind)
		le.PutUint64(h[8:], uint64(offset))
		le.PutUint64(h[32:], uint64(n))
	}
	header(0, elfLoad, 0, pages)
	header(1, elfLoad, pages, len(text))
	header(2, elfDynamic, dynamic, 12*16)
	header(3, elfLoad, strings, len(path)+len(symbols))
	for i, tag := range []uint64{1, 1, 14, 12, 13, 5, 6, 10, 11, 0x6ffffef5, 0x6fffffff, 0} {
		le.PutUint64(b[dynamic+16*i:], tag)
		le.PutUint64(b[dynamic+16*i+8:], uint64(i*len(path)))
	}
	for i, kind := range []uint32{0, 1, 3, 11, 5, 0x6fffffff, 0x6ffffffe, 4, 1, 1, 1, 3} {
		h := b[sections+64*i : sections+64*i+64]
		clear(h)
		le.PutUint32(h, uint32(i))
		le.PutUint32(h[4:], kind)
		le.PutUint64(h[8:], 2)
		le.PutUint64(h[32:], uint64(i*len(path)))
		le.PutUint64(h[48:], 8)
	}
	return concat(b, path, make([]byte, 24-len(path)%8), symbols)
}

// A name of another length costs a few small chunks of a program.
func TestRenamed(t *testing.T) {
	for _, size := range []int{100 << 10, 2 << 20, 9 << 20} {
		before, after := program(oldHash+"/lib", size), program(newHash+"-r2/lib", size)
		if n := newBytes(before, after); n == 0 || n > 8<<10 {
			t.Errorf("program of %d bytes: %d new bytes; want at most %d", size, n, 8<<10)
		}
		if len(chunks(before)) > 12+2*size/maxStable {
			t.Errorf("program of %d bytes: %d chunks", size, len(chunks(before)))
		}
	}
}

// A new hash costs one small chunk, wherever it is in a file, and if its name is longer, too.
func TestRebuild(t *testing.T) {
	file := func(hash string) []byte {
		return concat(noise(1, 3<<20), hash, noise(2, 2<<20), hash, noise(3, 100), hash, noise(4, 1<<20))
	}
	if n := newBytes(file(oldHash), file(newHash)); n == 0 || n > 400 {
		t.Errorf("another hash: %d new bytes; want 1 to 400", n)
	}
	if n := newBytes(file(oldHash), file(newHash+"-r2")); n == 0 || n > 400 {
		t.Errorf("another hash and a longer name: %d new bytes; want 1 to 400", n)
	}
}

// An insertion costs the piece that has it, or two if the end of that piece moves.
func TestInsertion(t *testing.T) {
	old := noise(5, 16<<20)
	for _, n := range []int{1, 7, 4096, 100_000} {
		b := slices.Insert(slices.Clone(old), 6<<20, noise(6, n)...)
		if got := newBytes(old, b); got > 3*MaxPiece {
			t.Errorf("%d bytes inserted: %d new bytes; want at most %d", n, got, 3*MaxPiece)
		}
	}
}

func TestPieceEnd(t *testing.T) {
	for seed := range uint64(5) {
		b := noise(seed, MaxPiece)
		end := PieceEnd(b)
		if end < MaxPiece-searched || end > MaxPiece {
			t.Fatalf("PieceEnd = %d; want it in the last %d bytes of %d", end, searched, MaxPiece)
		}
		copy(b, noise(seed+100, MaxPiece-searched)) // not looked at
		if got := PieceEnd(b); got != end {
			t.Errorf("PieceEnd depends on bytes that are too far from the end")
		}
		if got := PieceEnd(b[MaxPiece/2:]); got != end-MaxPiece/2 {
			t.Errorf("PieceEnd depends on the length before")
		}
		for _, shift := range []int{1, 20, 33} { // a hash at the place
			c := slices.Clone(b)
			if end-shift+hashBytes > len(c) {
				continue
			}
			copy(c[end-shift:], oldHash[len("/nix/store"):][:hashBytes])
			if got := PieceEnd(c); got > end-shift && got < end-shift+hashBytes {
				t.Errorf("PieceEnd = %d in the hash at %d", got, end-shift)
			}
		}
	}
	if got := PieceEnd(make([]byte, MaxPiece)); got < MaxPiece-16 {
		t.Errorf("PieceEnd of zeros = %d; want the last place", got)
	}
}

var hashForm = regexp.MustCompile(`/[0-9abcdfghijklmnpqrsvwxyz]{32}-`)

func TestNextHash(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = "/-0az\x00"[r.IntN(6)]
		}
		for range r.IntN(4) {
			copy(b[r.IntN(150):], oldHash[len("/nix/store")+r.IntN(3):][:hashBytes-r.IntN(3)])
		}
		for i := 0; ; {
			want := -1
			if at := hashForm.FindIndex(b[i:]); at != nil {
				want = i + at[0]
			}
			got := nextHash(b, i)
			if got != want {
				t.Fatalf("nextHash(%q, %d) = %d; want %d", b, i, got, want)
			}
			if got < 0 {
				break
			}
			i = got + 1
		}
	}
}

func FuzzAppendCuts(f *testing.F) {
	f.Add([]byte(nil), uint16(0))
	f.Add([]byte(oldHash), uint16(10_000))
	f.Add([]byte(oldHash+"/lib:"+newHash), uint16(3000))
	f.Add([]byte(strings.Repeat("a", 100)), uint16(5000))
	p := program(oldHash, 8<<10)
	f.Add(p[:5000], uint16(0))
	f.Add(append(slices.Clone(p[4096:12<<10]), gnuHash...), uint16(0))
	f.Fuzz(func(t *testing.T, seed []byte, gap uint16) {
		b := bytes.Repeat(concat(int(gap), seed), 20)
		if len(b) > MaxPiece {
			b = b[:MaxPiece]
		}
		got := AppendCuts([]int{7}, b)
		if got[0] != 7 {
			t.Fatal("AppendCuts changed what was there")
		}
		got = got[1:]
		if diff := cmp.Diff(AppendCuts(nil, slices.Clone(b)), slices.Clone(got)); len(got) > 0 && diff != "" {
			t.Fatalf("AppendCuts twice: -first +second:\n%s", diff)
		}
		if len(got) > maxCuts {
			t.Fatalf("%d chunks; want at most %d", len(got), maxCuts)
		}
		last := 0
		for _, end := range got {
			if end <= last {
				t.Fatalf("chunk ends at %d, the one before it at %d", end, last)
			}
			last = end
		}
		if last != len(b) {
			t.Fatalf("last chunk ends at %d; want %d", last, len(b))
		}
		if len(b) == 0 {
			return
		}
		if end := PieceEnd(b); end <= 0 || end > len(b) {
			t.Fatalf("PieceEnd = %d of %d bytes", end, len(b))
		}
	})
}

func BenchmarkAppendCuts(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and does not look back. "), MaxPiece/64)[:MaxPiece]
	program := noise(8, MaxPiece)
	for i := range program { // about as many zeros and letters as a program has
		if i%4 == 0 {
			program[i] = 0
		}
	}
	digits := bytes.Repeat([]byte("0123456789abcdef"), MaxPiece/16)
	for _, bb := range []struct {
		name string
		in   []byte
	}{{"program", program}, {"text", text}, {"digits", digits}} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(MaxPiece)
			var ends []int
			for b.Loop() {
				ends = AppendCuts(ends[:0], bb.in)
			}
		})
	}
}

func BenchmarkPieceEnd(b *testing.B) {
	in := noise(9, MaxPiece)
	b.SetBytes(MaxPiece)
	for b.Loop() {
		PieceEnd(in)
	}
}
