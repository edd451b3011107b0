package xz

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

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
