package chunked

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// digestFor returns the digest that stands for some content.
func digestFor(content string) string { return sumText(sha256.Sum256([]byte(content))) }

// fileOf returns the entries of a file whose frames begin at offset and have the given sizes. Each chunk is a word of content.
func fileOf(name, content string, offset int64, sizes ...int64) []Entry {
	words := strings.Fields(content)
	var entries []Entry
	for i, word := range words {
		e := Entry{Type: TypeChunk, Name: name, Offset: offset, ChunkDigest: digestFor(word), ChunkSize: 1}
		if i == 0 {
			e.Type, e.Size, e.Digest = TypeFile, int64(len(words)), digestFor(content)
			for _, n := range sizes {
				e.EndOffset += n
			}
			e.EndOffset += offset
		}
		entries = append(entries, e)
		offset += sizes[i]
	}
	if len(words) == 1 {
		entries[0].ChunkDigest, entries[0].ChunkSize = "", 0
	} else {
		entries[len(words)-1].EndOffset = offset
	}
	return entries
}

func inventoryOf(t *testing.T, layers ...[]Entry) *Inventory {
	t.Helper()
	v := &Inventory{}
	for i := range layers {
		for j := range layers[i] {
			if err := v.Add(&layers[i][j]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

func TestMissing(t *testing.T) {
	old := slices.Concat(fileOf("a", "a", 100, 10), fileOf("b", "b1 b2 b3", 200, 10, 20, 30))
	const toc = 100_000
	far := func(n int, gap int64) (all []Entry) {
		for i := range n {
			all = append(all, fileOf("f", "new"+strings.Repeat("x", i), 100+int64(i)*(gap+10), 10)...)
		}
		return all
	}
	end := func(entries []Entry, n int64) []Entry {
		entries[len(entries)-1].EndOffset = n
		return entries
	}
	zeros := fileOf("z", "zero new", 5000, 100, 7)
	zeros[0].ChunkType = "zeros"
	for _, tt := range []struct {
		name   string
		next   []Entry
		bytes  int64
		ranges int
	}{
		{"nothing", nil, 0, 0},
		{"no contents", []Entry{{Type: TypeDir, Name: "d/"}, {Type: TypeFile, Name: "empty"}, {Type: TypeHardlink, Name: "h", LinkName: "a"}}, 0, 0},
		{"the same files", slices.Concat(fileOf("x", "a", 7000, 99), fileOf("y", "b1 b2 b3", 8000, 1, 2, 3)), 0, 0},
		{"a new file", fileOf("n", "new", 7000, 99), 99, 1},
		{"a new file of old chunks", fileOf("n", "b3 b1", 7000, 5, 6), 0, 0},
		{"a new file with an old file as a chunk", fileOf("n", "a new", 7000, 5, 6), 6, 1},
		{"a new file with an old chunk", fileOf("n", "b2", 7000, 5), 5, 1}, // podman looks up only files for a file of one chunk
		{"a new chunk between old ones", fileOf("n", "b1 new b3", 7000, 2000, 7, 2000), 7, 1},
		{"a new first chunk", fileOf("n", "new b3", 7000, 7, 2000), 7, 1},
		{"a new last chunk", fileOf("n", "b1 new", 7000, 2000, 7), 7, 1},
		{"touching chunks", fileOf("n", "new1 new2 new3", 7000, 7, 8, 9), 24, 1},
		{"a gap of 1 KiB", fileOf("n", "new1 b1 new2", 7000, 7, 1024, 9), 7 + 1024 + 9, 1},
		{"a larger gap", fileOf("n", "new1 b1 new2", 7000, 7, 1025, 9), 7 + 9, 2},
		{"a gap between files", slices.Concat(fileOf("n", "new1", 7000, 10), fileOf("a", "a", 7200, 300), fileOf("m", "new2", 7700, 10)), 710, 1},
		{"the same chunk twice", slices.Concat(fileOf("n", "new", 5000, 10), fileOf("m", "new", 7000, 10)), 20, 2},
		{"zeros", zeros, 7, 1},
		{"a file without an end", slices.Concat(end(fileOf("n", "new", 7000, 10), 0), []Entry{{Type: TypeDir, Name: "d/"}}, fileOf("a", "a", 9000, 10)), 2000, 1},
		{"a last chunk without an end", end(fileOf("n", "b1 new", 7000, 10, 20), 0), toc - 7010, 1},
		{"1,023 ranges", far(1023, 2000), 1023 * 10, 1023},
		{"1,024 ranges", far(1024, 2000), 1024*10 + 2000, 1023},
		{"1,100 ranges", far(1100, 2000), 1100*10 + 77*2000, 1023},
	} {
		m := NewMissing(inventoryOf(t, old))
		for i := range tt.next {
			m.Add(&tt.next[i])
		}
		if bytes, ranges := m.Finish(toc); bytes != tt.bytes || ranges != tt.ranges {
			t.Errorf("%s: %d bytes in %d ranges; want %d in %d", tt.name, bytes, ranges, tt.bytes, tt.ranges)
		}
	}
	m := NewMissing(nil)
	for i := range old {
		m.Add(&old[i])
	}
	if bytes, ranges := m.Finish(toc); bytes != 10+90+60 || ranges != 1 {
		t.Errorf("without an inventory: %d bytes in %d ranges; want 160 in 1", bytes, ranges)
	}
}

// slowly joins ranges one after the other, as podman does: the smallest gap first, until there are fewer ranges than allowed
// and no small gap is left.
func slowly(all []byteRange) (bytes int64, ranges int) {
	all = slices.Clone(all)
	for len(all) > 1 {
		least := 1
		gap := func(i int) int64 { return all[i].begin - all[i-1].end }
		for i := 2; i < len(all); i++ {
			if gap(i) < gap(least) {
				least = i
			}
		}
		if gap(least) > 1024 && len(all) < 1024 {
			break
		}
		all[least-1].end = all[least].end
		all = slices.Delete(all, least, least+1)
	}
	for _, r := range all {
		bytes += r.end - r.begin
	}
	return bytes, len(all)
}

func TestMissingJoins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		m := NewMissing(nil)
		var all []byteRange
		at := int64(1)
		most := int64(1 + r.IntN(4000))
		for i := range 1 + r.IntN(1300) {
			size := 1 + r.Int64N(50)
			at += r.Int64N(most)
			all = append(all, byteRange{at, at + size})
			m.Add(&Entry{Type: TypeFile, Name: "f", Size: 1, Digest: digestFor(string(rune(i))), Offset: at, EndOffset: at + size})
			at += size
		}
		wantBytes, wantRanges := slowly(all)
		if bytes, ranges := m.Finish(at + 8); bytes != wantBytes || ranges != wantRanges {
			t.Fatalf("%d ranges with gaps below %d: %d bytes in %d ranges; want %d in %d", len(all), most, bytes, ranges, wantBytes, wantRanges)
		}
	}
}

func TestInventoryIgnoresOtherDigests(t *testing.T) {
	wrong := []string{"", "sha256:", "sha256:" + strings.Repeat("x", 64), "sha512:" + strings.Repeat("0", 64), hex.EncodeToString(make([]byte, 32))}
	v := &Inventory{}
	for _, d := range wrong {
		if err := v.Add(&Entry{Type: TypeFile, Digest: d, ChunkDigest: d}); err != nil || v.hasFile(d) || v.hasChunk(d) {
			t.Errorf("Add(%q) = %v; hasFile is %v, hasChunk is %v; want false", d, err, v.hasFile(d), v.hasChunk(d))
		}
	}
}

// TestInventoryMemory holds how much memory a digest costs.
func TestInventoryMemory(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := &Inventory{}
	for i := range n {
		e := Entry{ChunkDigest: sumText(sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))}
		if err := v.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.0f bytes for each of %d digests", each, len(v.sums))
	if each > 90 {
		t.Errorf("a digest costs %.0f bytes; want at most 90", each)
	}
}
