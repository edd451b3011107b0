package compress

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/rootfs/testrun"
)

// sampleTar makes a tar with files of many sizes, among them ones at the limits of blocks.
func sampleTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content []byte) {
		t.Helper()
		h.Size, h.ModTime, h.Format = int64(len(content)), time.Unix(1, 0), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "nix/", Mode: 0o555}, nil)
	add(tar.Header{Typeflag: tar.TypeSymlink, Name: "nix/link", Linkname: strings.Repeat("x", 300), Mode: 0o777}, nil)
	add(tar.Header{Typeflag: tar.TypeReg, Name: "nix/empty", Mode: 0o444}, nil)
	add(tar.Header{Typeflag: tar.TypeReg, Name: "nix/" + strings.Repeat("long", 90), Mode: 0o444, Uid: 1 << 30}, []byte("x"))
	for i, size := range []int{1, 511, 512, 513, 5000, 70_000, 1 << 20, blockBytes - 512, blockBytes - 1, blockBytes, blockBytes + 1,
		2*blockBytes + 70_000, 100} {
		content := []byte(text(uint64(i), size))
		for at := 1000; at+100 < len(content); at += 300_000 {
			copy(content[at:], fmt.Sprintf("/nix/store/%032d-name", i))
		}
		add(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("nix/file%d", i), Mode: 0o444}, content)
	}
	for i := range 3000 { // headers that go beyond the end of a block
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprintf("nix/link%d", i), Linkname: "file", Mode: 0o777}, nil)
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "nix/z<&>\"é", Mode: 0o444}, []byte("last"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestChunked compares a blob's tables with its tar, and every chunk with the file that it is of.
func TestChunked(t *testing.T) {
	content := sampleTar(t)
	m, err := Parse("zstd:chunked")
	if err != nil {
		t.Fatal(err)
	}
	blob, location := packChunked(t, m, content, 2, 64<<10)
	if plain, err := unpack(m, blob); err != nil || !bytes.Equal(plain, content) {
		t.Fatalf("decompressing gives %d bytes, %v; want the tar of %d bytes", len(plain), err, len(content))
	}
	if l, err := chunked.ParseAnnotations(location.Annotations(), int64(len(blob))); err != nil || l != location {
		t.Fatalf("ParseAnnotations = %+v, %v; want %+v", l, err, location)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	decode := func(from, to int64) []byte {
		t.Helper()
		b, err := z.DecodeAll(blob[from:to], nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	raw := blob[location.TOC.Offset:][:location.TOC.Length]
	if d := digest.FromBytes(raw); d != location.Digest {
		t.Errorf("the TOC has digest %s; want %s", d, location.Digest)
	}
	text := decode(location.TOC.Offset, location.TOC.Offset+location.TOC.Length)
	var toc chunked.TOC
	if err := json.Unmarshal(text, &toc); err != nil || toc.Version != 1 {
		t.Fatalf("TOC of version %d: %v", toc.Version, err)
	}
	if again, err := json.Marshal(toc); err != nil || !bytes.Equal(unescape(again), unescape(text)) {
		t.Errorf("the TOC is not what json.Marshal makes of it, %v", err)
	}
	entries := toc.Entries
	for tr := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			t.Fatalf("the TOC ends before %q", h.Name)
		}
		e := entries[0]
		if e.Name != h.Name || e.Size != h.Size || e.Mode != h.Mode || e.UID != h.Uid || e.LinkName != h.Linkname {
			t.Fatalf("entry %+v; want %+v", e, h)
		}
		entries = entries[1:]
		if len(want) == 0 {
			if e.Digest != "" || e.Offset != 0 {
				t.Errorf("%q is empty, and has content in the TOC", e.Name)
			}
			continue
		}
		if d := digest.FromBytes(want); e.Digest != d.String() {
			t.Errorf("%q has digest %s; want %s", e.Name, e.Digest, d)
		}
		chunks := []chunked.Entry{e}
		for len(entries) > 0 && entries[0].Type == chunked.TypeChunk {
			chunks = append(chunks, entries[0])
			entries = entries[1:]
		}
		at := int64(0)
		for i, c := range chunks {
			end, size := e.EndOffset, h.Size-at
			if i+1 < len(chunks) {
				end = chunks[i+1].Offset
			}
			got := decode(c.Offset, end)
			if len(chunks) > 1 {
				size = c.ChunkSize
				if d := digest.FromBytes(got); d.String() != c.ChunkDigest {
					t.Errorf("%q: chunk %d has digest %s; want %s", e.Name, i, d, c.ChunkDigest)
				}
			}
			if c.Name != e.Name || c.ChunkOffset != at || !bytes.Equal(got, want[at:at+size]) {
				t.Errorf("%q: chunk %d at %d has %d bytes; want %d at %d", c.Name, i, c.ChunkOffset, len(got), size, at)
			}
			at += size
		}
		if at != h.Size {
			t.Errorf("%q: its chunks have %d bytes; want %d", e.Name, at, h.Size)
		}
	}
	if len(entries) > 0 {
		t.Errorf("the TOC has %d entries too many", len(entries))
	}
}

// TestChunkedBytes pins the bytes of zstd:chunked blobs: the frames, the cuts and the tables. It fails if an update of the compressors'
// module changes them, or a change of cuts, for which chunked.FormatVersion must be raised. Both belong in the release notes.
func TestChunkedBytes(t *testing.T) {
	content := sampleTar(t)
	for _, test := range []struct{ method, want string }{
		{"zstd:chunked", "46a2fdcd0b8c12b5230ee48642530d1d5307c6f9a3ab8a6bf879b80a2ac7c810"},
		{"zstd:chunked:3", "88c1044e14fafb85f303351c2ca10ce6d6d9671cfe2a47bcbd3c9293df5f4e01"},
		{"zstd:chunked:6", "c7d6f73cd0690121d5df04bbfcf77ff12058d79102f7ca7a8c39578c9765d648"},
		{"zstd:chunked:10", "af3094be7d29d05f160131607e22189fd92f10db0367ab8e86c65426363cf7da"},
	}[:testrun.Of(1, 4)] {
		m, err := Parse(test.method)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := packChunked(t, m, content, 2, windowBytes)
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != test.want {
			t.Errorf("%s: blob of %d bytes has sha256 %s; want %s", test.method, len(b), got, test.want)
		}
	}
}

// TestChunkedSame checks that neither the number of workers nor the sizes of writes changes a byte.
func TestChunkedSame(t *testing.T) {
	content := sampleTar(t)
	m, err := Parse("zstd:chunked")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := packChunked(t, m, content, 1, len(content))
	for i, step := range []int{0, 64<<10 + 7, 1000, windowBytes, 3 * blockBytes}[:testrun.Of(2, 5)] {
		got, _ := packChunked(t, m, content, 3-i%3, step)
		if !bytes.Equal(got, want) {
			t.Errorf("writes of %d bytes change the blob: sha256 %x instead of %x", step, sha256.Sum256(got), sha256.Sum256(want))
		}
	}
}

// TestChunkedMany checks a layer of very many files: its tar-split data has more bytes than a TOC may have.
func TestChunkedMany(t *testing.T) {
	if !testrun.Exhaustive() {
		t.Skip("makes a layer of 130,000 files")
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 130_000 {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("file%d", i), Size: 1, ModTime: time.Unix(1, 0)})
		if err == nil {
			_, err = w.Write([]byte{byte(i)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := Parse("zstd:chunked")
	if err != nil {
		t.Fatal(err)
	}
	blob, location := packChunked(t, m, b.Bytes(), 2, 1<<20)
	if location.TarSplit.Uncompressed <= chunked.MaxTable {
		t.Errorf("the tar-split data has %d bytes; want more than %d", location.TarSplit.Uncompressed, chunked.MaxTable)
	}
	err = chunked.Check(bytes.NewReader(blob), location, digest.FromBytes(b.Bytes()), func(entry, problem string) {
		t.Errorf("%q: %s", entry, problem)
	})
	if err != nil {
		t.Error(err)
	}
}

// packChunked compresses a tar, which it writes in pieces of step bytes. If that is 0, it fills windows to different lengths.
func packChunked(t *testing.T, m Method, content []byte, workers, step int) ([]byte, chunked.Location) {
	t.Helper()
	var b bytes.Buffer
	r, err := NewPool(m, workers).Pack(t.Context(), &b, func(_ context.Context, w *Stream) error {
		for rest, i := content, 1; len(rest) > 0; i++ {
			n := min(step, len(rest))
			p := rest[:n]
			if step == 0 {
				window := w.Window()
				n = min(cap(window), len(rest), 1+(i*77_777)%windowBytes)
				p = append(window, rest[:n]...)
			}
			if _, err := w.Write(p); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
	if err != nil || r.DiffID != digest.FromBytes(content) || r.TarSize != int64(len(content)) || r.Digest != digest.FromBytes(b.Bytes()) {
		t.Fatalf("Pack = %+v, %v; want diffID %s and digest %s", r, err, digest.FromBytes(content), digest.FromBytes(b.Bytes()))
	}
	return b.Bytes(), r.Tables
}

func unescape(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`\u0026`), []byte("&")) }
