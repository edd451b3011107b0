package chunked

import (
	"hash/crc64"
	"math/rand/v2"
	"testing"
)

func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCRC64(t *testing.T) {
	table := crc64.MakeTable(crc64.ISO)
	b := randomBytes(1, 300)
	for from := range 20 {
		for to := from; to < len(b); to++ {
			if got, want := crc64Of(0, b[from:to]), crc64.Checksum(b[from:to], table); got != want {
				t.Fatalf("crc64 of %d bytes = %x; want %x", to-from, got, want)
			}
		}
	}
	sum := uint64(0)
	for i := 0; i < len(b); i += 7 {
		sum = crc64Of(sum, b[i:min(i+7, len(b))])
	}
	if want := crc64.Checksum(b, table); sum != want {
		t.Errorf("crc64 in pieces = %x; want %x", sum, want)
	}
}

func BenchmarkCRC64(b *testing.B) {
	data := randomBytes(1, 1<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		crc64Of(0, data)
	}
}
