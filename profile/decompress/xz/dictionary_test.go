package xz

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestDictionary checks that after chunks of any sizes, each byte in the window is found.
func TestDictionary(t *testing.T) {
	next := numbers(3)
	for range testrun.Of(30, 1000) {
		d := dictionary{size: []int{4 << 10, 6 << 10, 256 << 10, 1 << 20}[next(4)]}
		var all []byte
		for range 8 {
			n := next([]int{5000, 1 << 16, maxUnpacked}[next(3)]) + 1
			if next(4) == 0 {
				n = maxUnpacked
			}
			piece := d.room(n)
			if len(piece) != n || len(d.buf) < d.pos+n+slack {
				t.Fatalf("window of %d: room for %d of %d bytes, and slack of %d", d.size, len(piece), n, len(d.buf)-d.pos-n)
			}
			for i := range piece {
				piece[i] = byte(len(all)>>12 + i*7)
			}
			all = append(all, piece...)
			d.pos += n
			most := min(d.size, len(all))
			for _, distance := range []int{1, next(most) + 1, next(most) + 1, most} {
				if got, want := d.buf[d.from(d.pos, uint32(distance-1))], all[len(all)-distance]; got != want {
					t.Fatalf("window of %d, after %d bytes: %d at distance %d; want %d", d.size, len(all), got, distance, want)
				}
			}
		}
	}
}

// TestLargeChunk checks a chunk that does not fit behind the bytes before it, which needed only a small buffer.
func TestLargeChunk(t *testing.T) {
	_, packed, plain := files(t)
	name := recordedName("zeros", "--lzma2=dict=4KiB")
	const header, before = 12, 8 << 10
	chunks := bytes.Clone(packed[name][header+(int(packed[name][header])+1)*4:])
	chunks[0] &^= 0x20 // do not reset the dictionary
	z := new(lzma2)
	z.begin(4 << 10)
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(append([]byte{1, (before - 1) >> 8, (before - 1) & 0xff}, make([]byte, before)...)), bytes.NewReader(chunks)))
	size := 0
	for {
		piece, err := z.chunk(r)
		if err == io.EOF {
			break
		}
		if err != nil || !zero(piece) {
			t.Fatalf("after %d bytes: %v", size, err)
		}
		size += len(piece)
	}
	if want := before + len(plain[name]); size != want {
		t.Errorf("%d bytes; want %d", size, want)
	}
}
