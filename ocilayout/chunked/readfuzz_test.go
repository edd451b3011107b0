package chunked

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
)

// unpack returns the parts of a blob: its frames with data, its TOC and its tar-split data, the tables decompressed.
func unpack(tb testing.TB, blob []byte) (frames, toc, split []byte) {
	tb.Helper()
	end := len(blob)
	var l [4]int64 // of the footer
	for i := range l {
		l[i] = int64(binary.LittleEndian.Uint64(blob[end-64+8*[4]int{0, 1, 4, 5}[i]:]))
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	toc, err = z.DecodeAll(blob[l[0]:l[0]+l[1]], nil)
	if err != nil {
		tb.Fatal(err)
	}
	if split, err = z.DecodeAll(blob[l[2]:l[2]+l[3]], nil); err != nil {
		tb.Fatal(err)
	}
	return blob[:l[0]-8], toc, split
}

// pack makes a blob of such parts.
func pack(frames, toc, split []byte) ([]byte, Location) {
	tocZ, splitZ := compressed(toc), compressed(split)
	l := Location{Digest: digest.FromBytes(tocZ), TOC: Span{int64(len(frames)) + 8, int64(len(tocZ)), int64(len(toc))}}
	l.TarSplit = Span{l.TOC.Offset + l.TOC.Length + 8, int64(len(splitZ)), int64(len(split))}
	blob := append(bytes.Clone(frames), skippable(tocZ)...)
	return append(append(blob, skippable(splitZ)...), skippable(l.Footer())...), l
}

// eachLie calls f with the parts of each blob that tells small lies in its tables, and of one that tells none.
func eachLie(tb testing.TB, f func(frames, toc, split []byte)) {
	tarball := testTar(tb)
	honest := naive{chunk: 512}
	blob, _ := honest.write(tb, tarball)
	f(unpack(tb, blob))
	for _, lie := range lies {
		if lie.write.loc != nil || lie.write.tail != nil || lie.name == "a million entries" {
			continue
		}
		lie.write.chunk = 512
		blob, _ := lie.write.write(tb, tarball)
		f(unpack(tb, blob))
	}
}

// FuzzReadTOC checks that package encoding/json reads the same from each TOC that ReadTOC accepts.
func FuzzReadTOC(f *testing.F) {
	eachLie(f, func(_, toc, _ []byte) { f.Add(toc) })
	f.Fuzz(func(t *testing.T, b []byte) {
		z := compressed(b)
		loc := Location{Digest: digest.FromBytes(z), TOC: Span{1 << 20, int64(len(z)), int64(len(b))}, TarSplit: Span{Offset: 2 << 20}}
		toc, err := ReadTOC(bytes.NewReader(z), loc)
		if err != nil {
			return
		}
		var want TOC
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("ReadTOC accepts what json.Unmarshal refuses: %v", err)
		}
		for i := range want.Entries {
			if e := &want.Entries[i]; len(e.Xattrs) == 0 {
				e.Xattrs = nil
			}
		}
		if len(want.Entries) == 0 {
			want.Entries = nil
		}
		if d := cmp.Diff(&want, toc); d != "" {
			t.Errorf("ReadTOC (-json.Unmarshal +got):\n%s", d)
		}
	})
}

// FuzzSplitReader checks that package tar-split reads the same from tar-split data that SplitReader accepts.
func FuzzSplitReader(f *testing.F) {
	eachLie(f, func(_, _, split []byte) { f.Add(split) })
	f.Fuzz(func(t *testing.T, b []byte) {
		z := compressed(b)
		loc := Location{TarSplit: Span{8, int64(len(z)), int64(len(b))}}
		r, err := NewSplitReader(bytes.NewReader(z), loc, digest.FromBytes(z))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		want := storage.NewJSONUnpacker(bytes.NewReader(b))
		for {
			p, err := r.Next()
			if err != nil && err != io.EOF {
				return
			}
			w, wantErr := want.Next()
			if err == io.EOF {
				if wantErr != io.EOF {
					t.Errorf("SplitReader ends, but tar-split says %v", wantErr)
				}
				return
			}
			if wantErr != nil {
				t.Fatalf("SplitReader accepts what tar-split refuses: %v", wantErr)
			}
			got := storage.Entry{Type: storage.FileType, Name: p.Name, Size: p.Size, Position: w.Position, Payload: w.Payload}
			if p.Segment != nil {
				got.Type, got.Payload = storage.SegmentType, p.Segment
			} else if p.Size > 0 {
				got.Payload = binary.BigEndian.AppendUint64(nil, p.CRC)
			}
			if w.Name == "" {
				w.Name, w.NameRaw = w.GetName(), nil
			}
			if got.Type != w.Type || got.Name != w.Name || got.Size != w.Size || !bytes.Equal(got.Payload, w.Payload) {
				t.Fatalf("SplitReader reads %+v; tar-split reads %+v", got, w)
			}
		}
	})
}

// FuzzCheck checks that a client which trusts the tables gets the tar from each blob that Check accepts.
func FuzzCheck(f *testing.F) {
	eachLie(f, func(frames, toc, split []byte) { f.Add(frames, toc, split) })
	f.Fuzz(func(t *testing.T, frames, toc, split []byte) {
		// The digest in the TOC has to be that of the data, or nothing is ever accepted.
		if at := bytes.LastIndex(toc, []byte("sha256:")); at >= 0 {
			toc = append(bytes.Clone(toc[:at]), digest.FromBytes(compressed(split)).String()+`"}`...)
		}
		blob, loc := pack(frames, toc, split)
		var tarball bytes.Buffer
		told := false
		c := NewChecker(bytes.NewReader(blob), loc, func(string, string) { told = true })
		defer c.Close()
		if _, err := io.Copy(&tarball, io.LimitReader(c, 1<<20)); err != nil || told || tarball.Len() == 1<<20 {
			return
		}
		got, err := pull(blob, loc)
		if err != nil {
			t.Fatalf("Check accepts a blob, but pull says: %v", err)
		}
		if !bytes.Equal(got, tarball.Bytes()) {
			t.Fatalf("Check accepts a blob, but pull gets another tar")
		}
	})
}
