package lzma

import (
	"testing"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// numbers returns a function whose results look random, and are the same in each run.
func numbers(seed uint64) func(n int) int {
	return func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
}

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
