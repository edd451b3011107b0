package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/export-profile/export-profile/profile/decompress/xz"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

var update = flag.Bool("update", false, "make testdata/pieces.* with zstd, pzstd and xz")

// large returns what the files pieces.* in testdata contain.
func large() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 3<<20; i++ {
		fmt.Fprintf(&b, "line %d of what is compressed %s\n", i%700, strings.Repeat("again ", i/5000))
	}
	return b.Bytes()
}

const nixPart = 600 << 10 // of large, in a frame of pieces.zst: Nix's frames have 16 MiB

// pieceFiles lists files that real programs have made of large, and their compression.
var pieceFiles = map[string]string{
	"pieces.zst":        "zstd", // frames with their sizes, as Nix writes them
	"pieces.pzstd":      "zstd", // skippable frames with packed sizes, and frames without sizes
	"pieces.blocks.xz":  "xz",   // blocks with their sizes
	"pieces.streams.xz": "xz",   // two streams of such blocks
	"pieces.plain.xz":   "xz",   // streams with blocks that do not declare their sizes
}

func makePieceFiles(t *testing.T) {
	run := func(b []byte, args ...string) []byte {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(b), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all, half := large(), len(large())/2
	var frames []byte
	for part := range slices.Chunk(all, nixPart) {
		frames = append(frames, run(part, "zstd", "-c", fmt.Sprintf("--stream-size=%d", len(part)))...)
	}
	blocks := []string{"xz", "-c", "-T2", "--block-size=600KiB"}
	for name, b := range map[string][]byte{
		"pieces.zst":        frames,
		"pieces.pzstd":      run(all, "pzstd", "-1", "-c", "-p", "2"),
		"pieces.blocks.xz":  run(all, blocks...),
		"pieces.streams.xz": slices.Concat(run(all[:half], blocks...), make([]byte, 8), run(all[half:], append(blocks, "--check=sha256")...)),
		"pieces.plain.xz":   slices.Concat(run(all[:half], "xz", "-c", "-T1"), run(all[half:], "xz", "-c", "-T1")),
	} {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// eager returns n workers that help with every file.
func eager(n int) *Workers {
	w := NewWorkers(n)
	w.least = least{}
	return w
}

// checkIdle checks that no worker is busy and no memory is taken.
func checkIdle(t *testing.T, w *Workers) {
	t.Helper()
	if len(w.slots) != 0 || w.room.left != w.room.most || w.room.chunks != nil {
		t.Errorf("%d workers are busy, %d bytes of %d are free, %d chunks kept; want none, all, none", len(w.slots), w.room.left, w.room.most, len(w.room.chunks))
	}
}

// busyReader notes how many workers are busy while it is read.
type busyReader struct {
	io.Reader
	w    *Workers
	most atomic.Int64
}

func (r *busyReader) Read(p []byte) (int, error) {
	for busy := int64(len(r.w.slots)); ; {
		if most := r.most.Load(); busy <= most || r.most.CompareAndSwap(most, busy) {
			return r.Reader.Read(p)
		}
	}
}

// TestPieces checks that workers decode what real programs write, to the same bytes, and that they take part.
func TestPieces(t *testing.T) {
	if *update {
		makePieceFiles(t)
	}
	want := large()
	for file, name := range pieceFiles {
		b := testdata(t, file)
		for _, n := range []int{2, 3, 8} {
			w := eager(n)
			src := &busyReader{Reader: iotest.HalfReader(bytes.NewReader(b)), w: w}
			for as, read := range map[string]func() ([]byte, error){
				"NewReader": func() ([]byte, error) { return readAll(w.NewReader(name, src)) },
				"NewFileReader": func() ([]byte, error) {
					return readAll(w.NewFileReader(name, src, func() { t.Errorf("%s: trailing data", file) }))
				},
			} {
				src.Reader = iotest.HalfReader(bytes.NewReader(b))
				if got, err := read(); !bytes.Equal(got, want) || err != nil {
					t.Errorf("%s, %s, %d workers: %d bytes, %v; want %d, <nil>", file, as, n, len(got), err, len(want))
				}
				checkIdle(t, w)
			}
			if helped := src.most.Load() > 0; helped != (file != "pieces.plain.xz") {
				t.Errorf("%s: at most %d workers were busy", file, src.most.Load())
			}
		}
	}
}

// TestPiecesSmall checks that no worker takes part in what is too small, or a single piece.
func TestPiecesSmall(t *testing.T) {
	single := compress(t, "zstd", noise(3<<20))
	w := NewWorkers(2)
	for what, test := range map[string]struct {
		name string
		b    []byte
	}{
		"frames of less than 1 MiB": {"zstd", testdata(t, "pieces.zst")},
		"blocks of less than 1 MiB": {"xz", testdata(t, "pieces.blocks.xz")},
		"a single frame":            {"zstd", single},
		"small frames":              {"zstd", bytes.Repeat(compress(t, "zstd", noise(60_000)), 60)},
	} {
		src := &busyReader{Reader: bytes.NewReader(test.b), w: w}
		if _, err := readAll(w.NewReader(test.name, src)); err != nil || src.most.Load() > 0 {
			t.Errorf("%s: %v, %d workers were busy; want <nil>, none", what, err, src.most.Load())
		}
	}
	src := &busyReader{Reader: bytes.NewReader(bytes.Repeat(single, 3)), w: w}
	if _, err := readAll(w.NewReader("zstd", src)); err != nil || src.most.Load() == 0 {
		t.Errorf("three frames: %v, %d workers were busy; want <nil>, some", err, src.most.Load())
	}
	checkIdle(t, w)
}

// noise returns bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i, x := 0, uint32(1); i < n; i++ {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// sameResult checks that workers read what the calling goroutine alone reads of b, up to the same error.
func sameResult(t *testing.T, w *Workers, what, name string, b []byte) {
	t.Helper()
	const most = 16 << 20
	read := func(z io.ReadCloser, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(io.LimitReader(z, most))
	}
	for _, file := range []bool{false, true} {
		var trailing [2]bool
		alone := func(r io.Reader) ([]byte, error) { return read(NewReader(name, r)) }
		helped := func(r io.Reader) ([]byte, error) { return read(w.NewReader(name, r)) }
		if file {
			alone = func(r io.Reader) ([]byte, error) {
				return read(NewFileReader(name, r, func() { trailing[0] = true }))
			}
			helped = func(r io.Reader) ([]byte, error) {
				return read(w.NewFileReader(name, r, func() { trailing[1] = true }))
			}
		}
		want, wantErr := alone(bytes.NewReader(b))
		got, err := helped(bytes.NewReader(b))
		if !bytes.Equal(got, want) || !sameError(err, wantErr) || trailing[0] != trailing[1] {
			t.Errorf("%s, as a file: %v: %d bytes, %v, trailing data: %v; alone %d bytes, %v, %v",
				what, file, len(got), err, trailing[1], len(want), wantErr, trailing[0])
		}
	}
	checkIdle(t, w)
}

// sameError compares errors by their text. Alone, a decoder may read on behind a block of xz whose header lies about its size,
// and find something else there.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error() || strings.HasSuffix(a.Error(), "a block has another size than its header says")
}

// TestPiecesDamaged checks that damage anywhere has the same result with workers as without them:
// the same bytes before the same error, though workers may have decoded the pieces after it.
func TestPiecesDamaged(t *testing.T) {
	w := eager(2)
	for file, name := range pieceFiles {
		b := testdata(t, file)
		n := testrun.Of(4, 400)
		for i := range n {
			at := len(b) * i / n
			sameResult(t, w, fmt.Sprintf("%s, cut after %d of %d bytes", file, at, len(b)), name, b[:at])
			changed := bytes.Clone(b)
			changed[at] ^= 1 << (i % 8)
			sameResult(t, w, fmt.Sprintf("%s, bit %d of byte %d changed", file, i%8, at), name, changed)
		}
		if file != "pieces.zst" && file != "pieces.streams.xz" {
			continue
		}
		for _, after := range []string{"x", "\x00\x00", "\x00\x00\x00\x00", "trailing", string(b[:3]), string(b[:9]), string(b[:300])} {
			sameResult(t, w, fmt.Sprintf("%s, %.9q after it", file, after), name, slices.Concat(b, []byte(after)))
		}
	}
	for what, b := range secondPiece(t) {
		name := "zstd"
		if bytes.HasPrefix(b, []byte(xz.Magic)) {
			name = "xz"
		}
		sameResult(t, w, what, name, b)
		got, err := readAll(w.NewReader(name, bytes.NewReader(b)))
		if len(got) < nixPart || len(got) > 2*nixPart || !bytes.Equal(got[:nixPart], large()[:nixPart]) || err == nil {
			t.Errorf("%s: %d bytes, %v; want all of the first piece, no third piece, and an error", what, len(got), err)
		}
	}
}

// secondPiece returns files whose second piece is damaged.
func secondPiece(t *testing.T) map[string][]byte {
	zst, blocks := testdata(t, "pieces.zst"), testdata(t, "pieces.blocks.xz")
	second := bytes.Index(zst[1:], []byte(zstdMagic)) + 1
	third := bytes.Index(zst[second+1:], []byte(zstdMagic)) + second + 1
	change := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 0x10
		return b
	}
	z := xz.NewReader(bytes.NewReader(blocks), xz.Options{Window: MaxWindow})
	ends := []int{12} // of blocks
	for range 2 {
		b, err := z.NextBlock()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, readerFunc(z.ReadPacked)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, ends[len(ends)-1]+int(b.Packed))
	}
	return map[string][]byte{
		"zstd, the checksum of the second frame":   change(zst, third-1),
		"zstd, the content of the second frame":    change(zst, (second+third)/2),
		"zstd, cut in the second frame":            zst[:third-1],
		"xz, the check of the second block":        change(blocks, ends[2]-1),
		"xz, the content of the second block":      change(blocks, (ends[1]+ends[2])/2),
		"xz, cut in the check of the second block": blocks[:ends[2]-1],
	}
}

// TestPiecesLie checks a block whose header declares other sizes than it has.
func TestPiecesLie(t *testing.T) {
	w := eager(2)
	b := testdata(t, "blocks.xz")
	const header, packed, size, crc = 132, 134, 135, 144 // of the second block: its sizes are 90 and 600
	for _, test := range []struct{ packed, size int }{{-90, 0}, {-60, 0}, {-1, 0}, {1, 0}, {4, 0}, {30, 0}, {0, -600 + 128}, {0, -1}, {0, 1}, {0, 300}, {20, 100}} {
		lie := bytes.Clone(b)
		lie[packed] += byte(test.packed)
		binary.PutUvarint(lie[size:], uint64(600+test.size))
		binary.LittleEndian.PutUint32(lie[crc:], crc32.ChecksumIEEE(lie[header:crc]))
		sameResult(t, w, fmt.Sprint(test), "xz", lie)
		if got, err := readAll(w.NewReader("xz", bytes.NewReader(lie))); err == nil {
			t.Errorf("%v: %d bytes, <nil>; want an error", test, len(got))
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPiecesBroken checks that an error of the file itself comes after what was read before it, and is not taken for another.
func TestPiecesBroken(t *testing.T) {
	broken := errors.New("broken")
	w := eager(2)
	for file, name := range pieceFiles {
		b := testdata(t, file)
		for i := range 6 {
			n := len(b) * i / 6
			want, _ := readAll(NewReader(name, bytes.NewReader(b[:n])))
			got, err := readAll(w.NewReader(name, io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken))))
			if !bytes.Equal(got, want) || !errors.Is(err, broken) {
				t.Errorf("%s, broken after %d of %d bytes: %d bytes, %v; want %d, %v", file, n, len(b), len(got), err, len(want), broken)
			}
			checkIdle(t, w)
		}
	}
}

// blocking is a file that sends nothing more at its end, until it is released.
type blocking struct {
	io.Reader
	release chan struct{}
}

func (r *blocking) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		<-r.release
		err = io.ErrClosedPipe
	}
	return n, err
}

// TestPiecesClose checks that Close ends all goroutines, whatever they wait for: bytes of the file, or room for decoded ones.
func TestPiecesClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for file, name := range pieceFiles {
		b := testdata(t, file)
		w := eager(2)
		for _, n := range []int64{0, 1, nixPart + 1} {
			src := &blocking{Reader: bytes.NewReader(b[:len(b)*2/3]), release: make(chan struct{})}
			z, err := w.NewReader(name, src)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, z, n); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(10*time.Millisecond, func() { close(src.release) })
			if err := z.Close(); err != nil {
				t.Error(err)
			}
			checkIdle(t, w)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// TestPiecesShared checks readers that share workers, and that none waits for another that is not read.
func TestPiecesShared(t *testing.T) {
	w := eager(2)
	var open []io.ReadCloser
	for file, name := range pieceFiles {
		for range 3 {
			z, err := w.NewReader(name, bytes.NewReader(testdata(t, file)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, z, nixPart+1); err != nil { // workers are busy now
				t.Fatal(err)
			}
			open = append(open, z)
		}
	}
	want := large()[nixPart+1:]
	var group sync.WaitGroup
	for i := range open {
		z := open[len(open)-1-i]
		read := func() {
			if got, err := readAll(z, nil); !bytes.Equal(got, want) || err != nil {
				t.Errorf("%d bytes, %v; want %d, <nil>", len(got), err, len(want))
			}
		}
		if i < len(open)/2 {
			read() // one after the other
		} else {
			group.Go(read)
		}
	}
	group.Wait()
	checkIdle(t, w)
}

// TestPiecesMemory checks that headers that declare too much take no memory, and that workers keep their limit.
func TestPiecesMemory(t *testing.T) {
	zeros := bytes.Repeat(compress(t, "zstd", make([]byte, 40<<20)), 6) // do not declare their size
	w := eager(4)
	z, err := w.NewReader("zstd", bytes.NewReader(zeros))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	buf := make([]byte, 64<<10)
	var n, peak int64
	for step := 0; err == nil; step++ {
		var m int
		m, err = z.Read(buf)
		n += int64(m)
		if step%512 == 0 {
			if step == 1024 {
				time.Sleep(50 * time.Millisecond) // let the workers decode what they may
			}
			runtime.ReadMemStats(&now)
			peak = max(peak, int64(now.HeapAlloc)-int64(before.HeapAlloc))
		}
	}
	if n != 6*40<<20 || err != io.EOF {
		t.Errorf("%d bytes, %v; want %d, EOF", n, err, 6*40<<20)
	}
	if most := int64(4*roomPerWorker + 32<<20); peak > most {
		t.Errorf("%d bytes of memory; want at most %d", peak, most)
	}

	lies := slices.Concat(compress(t, "zstd", plain()), []byte(zstdMagic+"\x80\x58\x00\x00\x00\x02\x01\x00\x00"))
	runtime.ReadMemStats(&before)
	_, _ = readAll(w.NewReader("zstd", bytes.NewReader(bytes.Repeat(lies, 20))))
	runtime.ReadMemStats(&now)
	if took := now.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("a frame that declares 32 MiB and has none takes %d bytes", took)
	}
}

// FuzzPieces checks that workers read what the calling goroutine alone reads.
func FuzzPieces(f *testing.F) {
	declared, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	frame := declared.EncodeAll(plain(), nil)
	f.Add("zstd", slices.Concat(frame, frame, compress(f, "zstd", plain()), frame))
	f.Add("xz", testdata(f, "plain.xz"))
	f.Add("xz", slices.Concat(testdata(f, "blocks.xz"), testdata(f, "two.xz"), testdata(f, "blocks.xz")))
	f.Add("xz", testdata(f, "window256.xz"))
	f.Add("zstd", slices.Concat([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), compress(f, "zstd", plain())))
	w := eager(2)
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		sameResult(t, w, "input", name, b)
	})
}
