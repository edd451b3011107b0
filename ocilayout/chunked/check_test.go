package chunked

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// testTar has an entry of each type, long names, attributes, empty files, zeros, and files of block sizes.
func testTar(tb testing.TB) []byte {
	random := make([]byte, 5000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	long := strings.Repeat("long/", 40) + "name"
	return tarWith(tb,
		entry{tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, nil},
		entry{tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(1, 0)}, nil},
		entry{tar.Header{Name: "d/a", Mode: 0o444, ModTime: time.Unix(1, 0)}, random},
		entry{tar.Header{Name: "d/b", Mode: 0o4555, Uid: 3, Gid: 1 << 22, ModTime: time.Unix(1e9, 5e8)}, []byte("b")},
		entry{tar.Header{Name: "d/empty", Mode: 0o444}, nil},
		entry{tar.Header{Name: "d/zeros", Mode: 0o444}, make([]byte, 4096)},
		entry{tar.Header{Name: "d/block", Mode: 0o444, AccessTime: time.Unix(7, 0), Format: tar.FormatPAX}, random[:512]},
		entry{tar.Header{Name: long, Mode: 0o444, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "v\x00", "SCHILY.xattr.user.y": "w"}}, random[:999]},
		entry{tar.Header{Name: "gnu/" + long, Mode: 0o444, Format: tar.FormatGNU}, random[:1]},
		entry{tar.Header{Name: "s", Typeflag: tar.TypeSymlink, Linkname: "<d>&/é", Mode: 0o777}, nil},
		entry{tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "d/a", Mode: 0o444}, nil},
		entry{tar.Header{Name: "c", Typeflag: tar.TypeChar, Devmajor: 5, Devminor: 1, Mode: 0o600}, nil},
		entry{tar.Header{Name: "f", Typeflag: tar.TypeFifo, Mode: 0o600}, nil},
		entry{tar.Header{Name: "z", Mode: 0o444}, random[:700]},
	)
}

type entry struct {
	tar.Header
	content []byte
}

func tarWith(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestCheckValid checks that Check has no complaint about blobs in podman's shape, and that ReadTOC reads their entries.
func TestCheckValid(t *testing.T) {
	whole := testTar(t)
	for name, tarball := range map[string][]byte{
		"all types":       whole,
		"empty":           tarWith(t),
		"long end":        append(bytes.Clone(whole), make([]byte, 3<<20)...),
		"no end":          whole[:len(whole)-1024],
		"half an end":     whole[:len(whole)-512],
		"nothing":         nil,
		"one file":        tarWith(t, entry{tar.Header{Name: "a"}, make([]byte, 1<<20)}),
		"only empty file": tarWith(t, entry{tar.Header{Name: "a"}, nil}),
	} {
		for _, chunk := range []int{0, 1 << 20, 512, 100} {
			var want TOC
			blob, loc := naive{chunk: chunk, toc: func(toc *TOC) { want = *toc }}.write(t, tarball)
			if chunk == 0 && name == "all types" {
				checkPlain(t, blob, tarball)
			}
			lines, err := problems(blob, loc, digest.FromBytes(tarball))
			if err != nil || lines != nil {
				t.Errorf("%s, chunks of %d: Check: %q, %v; want no problem", name, chunk, lines, err)
			}
			if got, err := pull(blob, loc); err != nil || !bytes.Equal(got, tarball) {
				t.Errorf("%s, chunks of %d: pull makes another tar, %v", name, chunk, err)
			}
			if l, err := ParseAnnotations(loc.Annotations(), int64(len(blob))); err != nil || l != loc {
				t.Errorf("%s: ParseAnnotations = %v, %v; want %v", name, l, err, loc)
			}
			toc, err := ReadTOC(io.NewSectionReader(bytes.NewReader(blob), loc.TOC.Offset, loc.TOC.Length), loc)
			if err != nil {
				t.Errorf("%s, chunks of %d: ReadTOC: %v", name, chunk, err)
			} else if d := cmp.Diff(&want, toc); d != "" {
				t.Errorf("%s, chunks of %d: ReadTOC (-want +got):\n%s", name, chunk, d)
			}
		}
	}
}

func checkPlain(t *testing.T, blob, tarball []byte) {
	t.Helper()
	r, err := zstd.NewReader(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, tarball) {
		t.Errorf("the blob is not the tar: %v", err)
	}
}

// lies are changes to a valid blob, each with what Check must say about it.
// In the TOC, entry 2 is d/a, which has chunks of 512 bytes.
var lies = []struct {
	name  string
	write naive
	want  string
}{
	{"version", naive{toc: func(t *TOC) { t.Version = 2 }}, "the version 2 is not supported"},
	{"no version", naive{tocJSON: cut(`"version":1,`)}, "has no version"},
	{"no tar-split digest", naive{toc: func(t *TOC) { t.TarSplitDigest = "" }}, "no digest of the tar-split data"},
	{"another tar-split digest", naive{toc: func(t *TOC) { t.TarSplitDigest = digest.FromString("x") }}, "tar-split data: they have the digest"},
	{"malformed tar-split digest", naive{toc: func(t *TOC) { t.TarSplitDigest = "sha256:x" }}, "is no SHA-256 digest"},
	{"TOC digest", naive{loc: func(l *Location) { l.Digest = digest.FromString("x") }}, "TOC: it has the digest"},
	{"TOC too short", naive{loc: func(l *Location) { l.TOC.Uncompressed++ }}, "bytes once decompressed, want"},
	{"TOC too long", naive{loc: func(l *Location) { l.TOC.Uncompressed-- }}, "it has more than"},
	{"TOC elsewhere", naive{loc: func(l *Location) { l.TOC.Offset++ }}, "TOC: no skippable frame has the"},
	{"TOC shorter", naive{loc: func(l *Location) { l.TOC.Length-- }}, "TOC: no skippable frame has the"},
	{"tar-split data elsewhere", naive{loc: func(l *Location) { l.TarSplit.Offset++ }}, "tar-split data: no skippable frame has the"},
	{"tar-split data too long", naive{loc: func(l *Location) { l.TarSplit.Uncompressed-- }}, "tar-split data: it has more than"},
	{"footer", naive{tail: func(toc, split, footer []byte) []byte {
		footer[0]++
		return slices.Concat(skippable(toc), skippable(split), skippable(footer))
	}}, "is not the footer"},
	{"no footer", naive{tail: func(toc, split, footer []byte) []byte { return slices.Concat(skippable(toc), skippable(split)) }}, "is not the footer"},
	{"footer not last", naive{tail: func(toc, split, footer []byte) []byte {
		return slices.Concat(skippable(toc), skippable(split), skippable(footer), skippable(nil))
	}}, "is not the footer"},
	{"data behind", naive{tail: func(toc, split, footer []byte) []byte {
		return slices.Concat(skippable(toc), skippable(split), []byte("\x28\xB5\x2F\xFD\x20\x01\x09\x00\x00\x00"), skippable(footer))
	}}, "frames with data follow the tables"},

	{"unknown field", naive{tocJSON: put(`"name":"d/a"`, `"name":"d/a","x":1`)}, `unknown field "x"`},
	{"field twice", naive{tocJSON: put(`"name":"d/a"`, `"name":"d/a","name":"d/c"`)}, `the field "name" occurs twice`},
	{"field in capitals", naive{tocJSON: put(`"name":"d/a"`, `"Name":"d/a"`)}, `unknown field "Name"`},
	{"unknown field of the TOC", naive{tocJSON: put(`"version"`, `"x":1,"version"`)}, `unknown field "x"`},
	{"version twice", naive{tocJSON: put(`"version"`, `"version":1,"version"`)}, `"version" occurs twice`},
	{"no entries", naive{tocJSON: func(string) string { return `{"version":1}` }}, "has no entries"},
	{"nested", naive{tocJSON: put(`"name":"d/a"`, `"name":`+strings.Repeat("[", 1<<16))}, `found '[' in the JSON`},
	{"array", naive{tocJSON: func(string) string { return strings.Repeat("[", 1<<16) }}, `found '[' in the JSON, want '{'`},
	{"cut", naive{tocJSON: func(s string) string { return s[:len(s)-1] }}, "unexpected EOF"},
	{"followed", naive{tocJSON: func(s string) string { return s + "{}" }}, "behind the end of the JSON"},
	{"no JSON", naive{tocJSON: func(string) string { return "x" }}, "found 'x' in the JSON"},
	{"empty TOC", naive{tocJSON: func(string) string { return " " }}, "unexpected EOF"},
	{"not UTF-8", naive{tocJSON: put(`d/a`, "d/\xff")}, "not valid UTF-8"},
	{"negative size", naive{toc: reg(func(e *Entry) { e.Size = -1 })}, "-1 is negative"},
	{"negative offset", naive{toc: reg(func(e *Entry) { e.Offset = -1 })}, "-1 is negative"},
	{"huge number", naive{tocJSON: put(`"size":5000`, `"size":99999999999999999999`)}, "is not an integer of 64 bits"},
	{"fraction", naive{tocJSON: put(`"size":5000`, `"size":5000.0`)}, "is not an integer of 64 bits"},
	{"number as text", naive{tocJSON: put(`"size":5000`, `"size":"5000"`)}, "want a number"},
	{"attribute not in base 64", naive{toc: named("d/a", func(e *Entry) { e.Xattrs = map[string]string{"x": "%"} })}, "not in base 64"},
	{"attribute twice", naive{tocJSON: put(`"name":"d/a"`, `"name":"d/a","xattrs":{"x":"","x":""}`)}, `attribute "x" occurs twice`},

	{"unknown type", naive{toc: reg(func(e *Entry) { e.Type = "file" })}, `unknown type "file"`},
	{"no type", naive{tocJSON: put(`"type":"reg","name":"d/a"`, `"name":"d/a"`)}, "d/a: in the TOC: has no type"},
	{"no name", naive{tocJSON: put(`"name":"d/a",`, ``)}, "TOC: entry 3: it has no name"},
	{"name twice", naive{toc: func(t *TOC) { named("d/empty", func(e *Entry) { e.Name = "d/b" })(t) }}, "d/b: in the TOC: occurs twice"},
	{"name twice, spelled differently", naive{toc: named("d/empty", func(e *Entry) { e.Name = "./d/b/" })}, "./d/b/: in the TOC: occurs twice"},
	{"entry twice", naive{toc: func(t *TOC) { t.Entries = append(t.Entries, t.Entries[0]) }}, "./: in the TOC: occurs twice"},
	{"name leads out", naive{toc: reg(func(e *Entry) { e.Name = "d/../../a" })}, "leads out of the tree"},
	{"absolute name", naive{toc: reg(func(e *Entry) { e.Name = "/a" })}, "is an absolute path"},
	{"NUL in a name", naive{toc: reg(func(e *Entry) { e.Name = "a\x00" })}, "has a NUL in its name"},
	{"hard link to nothing", naive{toc: named("h", func(e *Entry) { e.LinkName = "d/c" })}, `is a hard link to "d/c", which is no entry before it`},
	{"hard link forward", naive{toc: named("h", func(e *Entry) { e.LinkName = "z" })}, `is a hard link to "z", which is no entry before it`},
	{"hard link to itself", naive{toc: named("h", func(e *Entry) { e.LinkName = "./h" })}, "is a hard link to itself"},
	{"hard link to a directory", naive{toc: named("h", func(e *Entry) { e.LinkName = "d" })}, `is a hard link to the directory "d"`},
	{"hard link out", naive{toc: named("h", func(e *Entry) { e.LinkName = "../d" })}, "which leads out of the tree"},
	{"symbolic link to nothing", naive{toc: named("s", func(e *Entry) { e.LinkName = "" })}, "is a symbolic link without a target"},
	{"target of a file", naive{toc: reg(func(e *Entry) { e.LinkName = "x" })}, "is no link, but has a target"},
	{"size of a directory", naive{toc: named("d/", func(e *Entry) { e.Size = 1 })}, "is no file, but has a size"},
	{"digest of a directory", naive{toc: named("d/", func(e *Entry) { e.Digest = emptyDigest })}, "has no contents, but the digest"},
	{"digest of an empty file", naive{toc: named("d/empty", func(e *Entry) { e.Digest = digest.FromString("x").String() })}, "has no contents, but the digest"},
	{"place of an empty file", naive{toc: named("d/empty", func(e *Entry) { e.Offset = 9 })}, "has no contents, but the digest"},
	{"number of a file", naive{toc: reg(func(e *Entry) { e.DevMajor = 1 })}, "is no device"},

	{"no digest", naive{toc: reg(func(e *Entry) { e.Digest = "" })}, "has no digest"},
	{"malformed digest", naive{toc: reg(func(e *Entry) { e.Digest = e.Digest[:70] })}, "is no SHA-256 digest"},
	{"another algorithm", naive{toc: reg(func(e *Entry) { e.Digest = "sha512:" + strings.Repeat("0", 128) })}, "is no SHA-256 digest"},
	{"file digest", naive{toc: reg(func(e *Entry) { e.Digest = digest.FromString("x").String() })}, "d/a: in the TOC: has the digest sha256:"},
	{"file digest, one chunk", naive{toc: named("d/b", func(e *Entry) { e.Digest = digest.FromString("x").String() })}, "d/b: in the TOC: has the digest sha256:"},
	{"end of the file digest", naive{toc: reg(func(e *Entry) { e.Digest = otherEnd(e.Digest) })}, "d/a: in the TOC: has the digest sha256:"},
	{"end of a chunk digest", naive{toc: chunk(func(e *Entry) { e.ChunkDigest = otherEnd(e.ChunkDigest) })}, "d/a: in the TOC: its chunk at byte 512 has the digest sha256:"},
	{"chunk digest", naive{toc: chunk(func(e *Entry) { e.ChunkDigest = digest.FromString("x").String() })}, "d/a: in the TOC: its chunk at byte 512 has the digest sha256:"},
	{"first chunk's digest", naive{toc: reg(func(e *Entry) { e.ChunkDigest = digest.FromString("x").String() })}, "d/a: in the TOC: its chunk at byte 0 has the digest sha256:"},
	{"no chunk digest", naive{toc: chunk(func(e *Entry) { e.ChunkDigest = "" })}, "has a chunk without a digest"},
	{"no zeros", naive{toc: chunk(func(e *Entry) { e.ChunkType = "zeros" })}, "its chunk at byte 512 is said to be zeros"},
	{"unknown chunk type", naive{toc: chunk(func(e *Entry) { e.ChunkType = "x" })}, `unknown type "x"`},

	{"offset beyond the blob", naive{toc: reg(func(e *Entry) { e.EndOffset = 1 << 40 })}, "but the contents end at byte"},
	{"offset in the tables", naive{toc: named("z", func(e *Entry) { e.EndOffset += 100 })}, "but the contents end at byte"},
	{"huge offset", naive{toc: reg(func(e *Entry) { e.Offset, e.EndOffset = 1<<63-2, 1<<63-1 })}, "but the contents end at byte"},
	{"offset of nothing", naive{toc: reg(func(e *Entry) { e.Offset = 0 })}, "begins at byte 0"},
	{"end before the offset", naive{toc: reg(func(e *Entry) { e.EndOffset = e.Offset - 1 })}, "ends at byte"},
	{"overlap", naive{toc: named("d/b", func(e *Entry) { e.Offset -= 200 })}, "but the contents before it end at byte"},
	{"chunks overlap", naive{toc: chunk(func(e *Entry) { e.Offset -= 600 })}, "but the contents before it end at byte"},
	{"chunk behind the file", naive{toc: chunk(func(e *Entry) { e.Offset += 5000 })}, "but ends at byte"},
	{"offset inside a frame", naive{toc: chunk(func(e *Entry) { e.Offset++ })}, "its chunk at byte 512 is at byte"},
	{"offset of another frame", naive{toc: named("d/b", func(e *Entry) { e.Offset++ })}, "its chunk at byte 0 is at byte"},
	{"end inside a frame", naive{toc: named("d/b", func(e *Entry) { e.EndOffset-- })}, "d/b: in the TOC: ends at byte"},
	{"end of a chunk", naive{toc: chunk(func(e *Entry) { e.EndOffset = e.Offset + 7 })}, "d/a: in the TOC: its chunk at byte 512 ends at byte"},
	{"chunk size", naive{toc: func(t *TOC) { t.Entries[3].ChunkSize++; t.Entries[4].ChunkOffset++; t.Entries[4].ChunkSize-- }}, "its chunk at byte 512 has 513 bytes"},
	{"chunk gap", naive{toc: chunk(func(e *Entry) { e.ChunkOffset++ })}, "has a chunk at byte 513 of the file, but the chunks before it end at byte 512"},
	{"chunk missing", naive{toc: func(t *TOC) { t.Entries = slices.Delete(t.Entries, 4, 5) }}, "but the chunks before it end at byte 1024"},
	{"last chunk missing", naive{toc: func(t *TOC) { t.Entries = slices.Delete(t.Entries, 11, 12) }}, "d/a: in the TOC: its chunks end at byte 4608 of the file, but it has 5000"},
	{"chunks merged", naive{toc: func(t *TOC) { t.Entries[3].ChunkSize *= 2; t.Entries = slices.Delete(t.Entries, 4, 5) }}, "its chunk at byte 512 has 1024 bytes"},
	{"all chunks merged", naive{toc: func(t *TOC) {
		e := &t.Entries[2]
		e.ChunkSize, e.ChunkDigest = 0, ""
		t.Entries = slices.Delete(t.Entries, 3, 12)
	}}, "d/a: in the TOC: its chunk at byte 0 has 5000 bytes, but the frame has 512"},
	{"chunks too long", naive{toc: func(t *TOC) { t.Entries[11].ChunkSize++ }}, "has chunks of more than its 5000 bytes"},
	{"first chunk too long", naive{toc: reg(func(e *Entry) { e.ChunkSize = 5001 })}, "its first chunk has 5001 bytes"},
	{"first chunk elsewhere", naive{toc: reg(func(e *Entry) { e.ChunkOffset = 1 })}, "its first chunk begins at byte 1"},
	{"first chunk without a size", naive{toc: reg(func(e *Entry) { e.ChunkSize, e.ChunkDigest = 0, "" })}, "the first one has no size"},
	{"chunk without a size", naive{toc: chunk(func(e *Entry) { e.ChunkSize = 0 })}, "has a chunk without a size"},
	{"chunk of another file", naive{toc: chunk(func(e *Entry) { e.Name = "d/b" })}, "is a chunk, but not behind its file"},
	{"chunk without a file", naive{toc: func(t *TOC) { t.Entries = slices.Delete(t.Entries, 2, 3) }}, "is a chunk, but not behind its file"},
	{"chunk with a mode", naive{toc: chunk(func(e *Entry) { e.Mode = 1 })}, "fields that only a file has"},
	{"contents not in a frame of their own", naive{share: true, toc: func(t *TOC) {
		for i := range t.Entries {
			if e := &t.Entries[i]; e.Size > 0 {
				e.Offset, e.EndOffset = int64(10*i+10), int64(10*i+11)
				e.ChunkSize, e.ChunkDigest = 0, ""
			}
		}
		t.Entries = slices.DeleteFunc(t.Entries, func(e Entry) bool { return e.Type == TypeChunk })
	}}, "d/a: in the TOC: its contents share a frame of the blob with something else"},

	{"type", naive{toc: named("f", func(e *Entry) { e.Type = TypeDir })}, "its type is dir, but fifo in the tar"},
	{"another name", naive{toc: named("d/empty", func(e *Entry) { e.Name = "d/c" })}, `d/c: in the TOC: stands where the tar has "d/empty"`},
	{"mode", naive{toc: reg(func(e *Entry) { e.Mode = 0o4755 })}, "d/a: in the TOC: its mode is 4755, but 0444 in the tar"},
	{"size", naive{toc: named("d/b", func(e *Entry) { e.Size = 2 })}, "its size is 2, but 1 in the tar"},
	{"target", naive{toc: named("s", func(e *Entry) { e.LinkName = "x" })}, `its target is "x"`},
	{"owner", naive{toc: reg(func(e *Entry) { e.UID = 1 })}, "its owner is 1, but 0 in the tar"},
	{"group", naive{toc: reg(func(e *Entry) { e.GID = 1 })}, "its group is 1, but 0 in the tar"},
	{"time", naive{toc: reg(func(e *Entry) { e.ModTime = "1970-01-01T00:00:02Z" })}, "its modification time is"},
	{"access time", naive{toc: reg(func(e *Entry) { e.AccessTime = "1970-01-01T00:00:02Z" })}, "its access time is"},
	{"no time", naive{toc: reg(func(e *Entry) { e.ModTime = "yesterday" })}, "is no time of RFC 3339"},
	{"device", naive{toc: named("c", func(e *Entry) { e.DevMinor = 2 })}, "its minor device number is 2, but 1 in the tar"},
	{"attribute", naive{toc: reg(func(e *Entry) { e.Xattrs = map[string]string{"security.capability": "AA=="} })}, "other extended attributes"},
	{"entry missing", naive{toc: func(t *TOC) { t.Entries = t.Entries[:len(t.Entries)-2] }}, "it has 13 entries, but the tar has 14"},
	{"entry too many", naive{toc: func(t *TOC) { t.Entries = append(t.Entries, Entry{Type: TypeDir, Name: "more"}) }}, "more: in the TOC: is not in the tar"},
	{"a million entries", naive{tocJSON: func(s string) string {
		var b strings.Builder
		head, tail, _ := strings.Cut(s, `],"tarSplitDigest"`)
		b.WriteString(head)
		for i := range 1_000_000 {
			fmt.Fprintf(&b, `,{"type":"dir","name":"more/%d"}`, i)
		}
		return b.String() + `],"tarSplitDigest"` + tail
	}}, "more/0: in the TOC: is not in the tar"},
	{"entries swapped", naive{toc: func(t *TOC) { t.Entries[0], t.Entries[1] = t.Entries[1], t.Entries[0] }}, `d/: in the TOC: stands where the tar has "./"`},

	{"split: header", naive{split: part(2, func(p *storage.Entry) { p.Payload[0] = 'x' })}, "d/: in the tar-split data: has other headers"},
	{"split: end", naive{split: part(-1, func(p *storage.Entry) { p.Payload = p.Payload[1:] })}, "tar-split data: they end with"},
	{"split: sum", naive{split: part(5, func(p *storage.Entry) { p.Payload[0] ^= 1 })}, "d/a: in the tar-split data: has another sum"},
	{"split: short sum", naive{split: part(5, func(p *storage.Entry) { p.Payload = p.Payload[1:] })}, "d/a: in the tar-split data: its sum has 7 bytes"},
	{"split: size", naive{split: part(5, func(p *storage.Entry) { p.Size++ })}, "d/a: in the tar-split data: has 5001 bytes, but 5000 in the tar"},
	{"split: name", naive{split: part(5, func(p *storage.Entry) { p.Name = "d/c" })}, `d/a: in the tar-split data: is called "d/c"`},
	{"split: name twice", naive{split: part(5, func(p *storage.Entry) { p.Name = "d" })}, "d: in the tar-split data: occurs twice"},
	{"split: position", naive{split: part(5, func(p *storage.Entry) { p.Position++ })}, "its position is 6"},
	{"split: type", naive{split: part(5, func(p *storage.Entry) { p.Type = 3 })}, "unknown type 3"},
	{"split: named segment", naive{split: part(4, func(p *storage.Entry) { p.Name = "x" })}, "a segment has a name or a size"},
	{"split: two segments", naive{split: part(5, func(p *storage.Entry) { *p = storage.Entry{Type: storage.SegmentType, Position: 5} })}, "two segments where the tar has"},
	{"split: no segment", naive{split: part(4, func(p *storage.Entry) { p.Type, p.Name, p.Payload = storage.FileType, "x", nil })}, "x: in the tar-split data: has no headers before it"},
	{"split: cut", naive{split: func(p []storage.Entry) []storage.Entry { return p[:5] }}, "they end before the tar"},
	{"split: more", naive{split: func(p []storage.Entry) []storage.Entry {
		return append(p, storage.Entry{Type: storage.FileType, Name: "x", Position: len(p)})
	}}, "x: in the tar-split data: is not in the tar"},
	{"split: no JSON", naive{splitRaw: func(s string) string { return s + "x" }}, "found 'x' in the JSON"},
	{"split: unknown field", naive{splitRaw: put(`"type"`, `"x":1,"type"`)}, `unknown field "x"`},
	{"split: base 64", naive{splitRaw: put(`"payload":"`, `"payload":"%`)}, "illegal base64"},
	{"split: line end in base 64", naive{splitRaw: put(`"payload":"`, `"payload":"\n`)}, "line ends in base 64"},
	{"split: two names", naive{splitRaw: put(`"name":"d/a"`, `"name":"d/a","name_raw":"eA=="`)}, "two names"},
}

// otherEnd returns a digest that only ends differently.
func otherEnd(d string) string {
	if strings.HasSuffix(d, "0") {
		return d[:len(d)-1] + "1"
	}
	return d[:len(d)-1] + "0"
}

func cut(what string) func(string) string { return put(what, "") }

// put replaces the first what by with.
func put(what, with string) func(string) string {
	return func(s string) string { return strings.Replace(s, what, with, 1) }
}

// named changes the entry of a name, and adjusts nothing else.
func named(name string, change func(*Entry)) func(*TOC) {
	return func(t *TOC) {
		change(&t.Entries[slices.IndexFunc(t.Entries, func(e Entry) bool { return e.Name == name && e.Type != TypeChunk })])
	}
}

// reg changes the entry of d/a, and chunk its second chunk.
func reg(change func(*Entry)) func(*TOC) { return named("d/a", change) }

func chunk(change func(*Entry)) func(*TOC) { return func(t *TOC) { change(&t.Entries[3]) } }

// part changes a line of the tar-split data; -1 is the last one.
func part(i int, change func(*storage.Entry)) func([]storage.Entry) []storage.Entry {
	return func(p []storage.Entry) []storage.Entry {
		if i < 0 {
			i += len(p)
		}
		change(&p[i])
		return p
	}
}

// TestCheckBombs checks that neither small tables that become large, nor frames that declare much, take much memory.
func TestCheckBombs(t *testing.T) {
	tarball := tarWith(t, entry{tar.Header{Name: "a"}, []byte("content")})
	spaces := compressed(bytes.Repeat([]byte(" "), MaxTable+100))
	window := []byte("\x28\xB5\x2F\xFD\x00\xB0\x01\x00\x00")               // of 4 GiB
	size := []byte("\x28\xB5\x2F\xFD\xE0\x00\x00\x00\x00\x01\x00\x00\x00") // of 4 GiB
	for _, tt := range []struct {
		name  string
		bomb  []byte
		large int64 // what the annotation says
		want  string
	}{
		{"larger than it says", spaces, 100, "it has more than 100 bytes"},
		{"larger than allowed", spaces, MaxTable + 100, "it has more than 157286400 bytes"},
		{"large window", window, 100, "TOC: "},
		{"large size", size, 100, "TOC: "},
	} {
		blob, loc := naive{loc: func(l *Location) {
			*l = Location{Digest: digest.FromBytes(tt.bomb), TOC: Span{l.TOC.Offset, int64(len(tt.bomb)), tt.large}, TarSplit: l.TarSplit}
			l.TarSplit.Offset = l.TOC.Offset + l.TOC.Length + skippableHead
		}, tail: func(_, split, footer []byte) []byte {
			return slices.Concat(skippable(tt.bomb), skippable(split), skippable(footer))
		}}.write(t, tarball)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lines, err := problems(blob, loc, digest.FromBytes(tarball))
		runtime.ReadMemStats(&after)
		if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, tt.want) }) {
			t.Errorf("%s: Check: %q, %v; want a problem with %q", tt.name, lines, err, tt.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: Check allocates %d bytes", tt.name, used)
		}
	}
}

// TestCheckDamage checks that Check finds every cut and every changed bit, except for those that change no byte of the tar.
func TestCheckDamage(t *testing.T) {
	tarball := tarWith(t, entry{tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, nil},
		entry{tar.Header{Name: "d/a", Mode: 0o444}, []byte(strings.Repeat("content", 50))},
		entry{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "d/a"}, nil})
	blob, loc := naive{chunk: 200}.write(t, tarball)
	for n := range blob {
		if lines, err := problems(blob[:n], loc, digest.FromBytes(tarball)); err == nil && lines == nil {
			t.Errorf("Check of %d of %d bytes finds nothing", n, len(blob))
		}
	}
	for bit := 0; bit < 8*len(blob); bit += testrun.Of(11, 1) {
		changed := bytes.Clone(blob)
		changed[bit/8] ^= 1 << (bit % 8)
		if lines, err := problems(changed, loc, digest.FromBytes(tarball)); err == nil && lines == nil {
			if got, err := pull(changed, loc); err != nil || !bytes.Equal(got, tarball) {
				t.Errorf("Check of a blob whose bit %d is changed finds nothing", bit)
			}
		}
	}
	if _, err := problems([]byte("no frame"), loc, digest.FromBytes(tarball)); err == nil || !strings.Contains(err.Error(), "no frame of zstd begins here") {
		t.Errorf("Check of text = %v; want an error", err)
	}
}

// TestCheckTar checks that Check refuses tars that no TOC describes, and those that are damaged.
func TestCheckTar(t *testing.T) {
	good := tarWith(t, entry{tar.Header{Name: "a", Mode: 0o444}, []byte("content")})
	blob, loc := naive{}.write(t, good)
	end := blob[loc.TOC.Offset-skippableHead:]
	block := func(change func([]byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return signed(b)
	}
	extended := func(size string) []byte { return block(func(b []byte) { b[156] = 'x'; copy(b[124:], size) }) }
	for _, tt := range []struct {
		name, want string
		tarball    []byte
	}{
		{"unknown type", "a: in the tar: has the type '7', which a TOC cannot describe", block(func(b []byte) { b[156] = '7' })},
		{"global header", "tar: it has a global header", tarWith(t, entry{tar.Header{Name: "a", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"x": "y"}}, nil})},
		{"sparse file", "a: in the tar: is a sparse file", pax(t, "21 GNU.sparse.size=1\n")},
		{"wrong sum", "invalid tar header", func() []byte { b := bytes.Clone(good); b[0] = 'b'; return b }()},
		{"cut in the header", "it ends within a header", good[:300]},
		{"cut in the contents", "it ends 4 bytes before the contents of an entry do", good[:515]},
		{"extended header, cut", "it ends within a header", extended("00000100000")},
		{"extended header, long", "an extended header has the size", extended("00010000000")},
		{"extended header, base 256", "an extended header has the size", extended("\x80\x00\x00\x00")},
		{"one zero block", "invalid tar header", slices.Concat(good[:1024], make([]byte, 512), good)},
		{"text behind", "tar: bytes that are not zero follow its end", append(bytes.Clone(good), "text"...)},
		{"endless headers", "the headers of an entry have more than", bytes.Repeat(extended("00000001000")[:512], 20000)},
	} {
		bad := slices.Concat(compressed(tt.tarball), end)
		l := loc
		l.TOC.Offset, l.TarSplit.Offset = l.TOC.Offset+int64(len(bad)-len(blob)), l.TarSplit.Offset+int64(len(bad)-len(blob))
		lines, err := problems(bad, l, digest.FromBytes(tt.tarball))
		if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, tt.want) }) {
			t.Errorf("%s: Check: %q, %v; want a problem with %q", tt.name, lines, err, tt.want)
		}
	}
}

// pax returns a tar with the records of a PAX header before an empty file.
func pax(tb testing.TB, records string) []byte {
	tb.Helper()
	header := tarWith(tb, entry{tar.Header{Name: "x"}, []byte(records)})[:1024]
	header[156] = 'x'
	return append(signed(header), tarWith(tb, entry{tar.Header{Name: "a"}, nil})...)
}

// signed sets the sum of a tar's first header.
func signed(b []byte) []byte {
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// liesAlone counts the lies that a TOC shows without the tar.
const liesAlone = 74

// TestCheckLies checks that Check names each lie. Those that a TOC shows without the tar, ReadTOC refuses with the same words.
func TestCheckLies(t *testing.T) {
	tarball := testTar(t)
	alone := 0
	for _, lie := range lies {
		lie.write.chunk = 512
		blob, loc := lie.write.write(t, tarball)
		lines, err := problems(blob, loc, digest.FromBytes(tarball))
		if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, lie.want) }) {
			t.Errorf("%s: Check: %.2000q, %v; want a problem with %q", lie.name, lines, err, lie.want)
		}
		if len(lines) > 20 {
			t.Errorf("%s: Check reports %d problems; want at most 20", lie.name, len(lines))
		}
		if _, err = ReadTOC(io.NewSectionReader(bytes.NewReader(blob), loc.TOC.Offset, loc.TOC.Length), loc); err == nil || strings.Contains(lines[0], "no skippable frame") {
			continue
		}
		alone++
		var e *EntryError
		if errors.As(err, &e) {
			err = e
		}
		if words := errors.Unwrap(err).Error(); !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, words) }) {
			t.Errorf("%s: ReadTOC: %v, but Check: %q", lie.name, err, lines)
		}
	}
	if alone != liesAlone {
		t.Errorf("ReadTOC refuses %d blobs; want %d", alone, liesAlone)
	}
}
