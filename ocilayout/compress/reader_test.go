package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// skippable returns a skippable frame of zstd.
func skippable(magic uint32, content string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}

// TestSkippableFrames checks that a reader goes on behind each frame and passes over skippable ones,
// wherever they are: zstd:chunked keeps its tables in them.
func TestSkippableFrames(t *testing.T) {
	one, two := []byte(text(1, 5<<20)), []byte(text(2, 300<<10))
	m := Method{algorithm: algorithmZstd}
	a, b := pack(t, m, one, 64<<10), pack(t, m, two, 64<<10)
	table := skippable(0x184D2A50, text(3, 200<<10))
	for name, blob := range map[string][]byte{
		"at the end":              slices.Concat(a, b, table, table, skippable(0x184D2A50, text(4, 64))),
		"in the middle":           slices.Concat(a, table, b),
		"several in the middle":   slices.Concat(a, table, skippable(0x184D2A5F, ""), table, b),
		"at the beginning":        slices.Concat(table, a, b),
		"with a zstd frame in it": slices.Concat(a, b, skippable(0x184D2A50, string(a))),
		"everywhere":              slices.Concat(table, a, table, b, table),
	} {
		got, err := unpack(m, blob)
		if err != nil || !bytes.Equal(got, slices.Concat(one, two)) {
			t.Errorf("skippable frames %s: %d bytes, %v; want %d, <nil>", name, len(got), err, len(one)+len(two))
		}
	}
}

// TestSkippableTruncated checks that a skippable frame takes no memory for its length, and that a cut one is an error.
func TestSkippableTruncated(t *testing.T) {
	m := Method{algorithm: algorithmZstd}
	blob := slices.Concat(pack(t, m, []byte("content"), 7), []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 'x'})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := NewReader(bytes.NewReader(blob), ispec.MediaTypeImageLayerZstd)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	runtime.ReadMemStats(&after)
	if string(got) != "content" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadAll = %q, %v; want %q, %v", got, err, "content", io.ErrUnexpectedEOF)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("reading a skippable frame of 4 GiB allocates %d bytes", n)
	}
}
