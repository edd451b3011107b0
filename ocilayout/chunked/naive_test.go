package chunked

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// naive writes a blob in the shape of podman's, with the same modules as podman: one frame after another.
// Its hooks change the tables before they are compressed, so that the blob tells lies.
type naive struct {
	chunk    int  // bytes of a chunk; 0 means one chunk a file
	share    bool // all contents share a frame with headers
	toc      func(*TOC)
	tocJSON  func(string) string
	split    func([]storage.Entry) []storage.Entry
	splitRaw func(string) string
	loc      func(*Location)
	tail     func(toc, tarSplit, footer []byte) []byte
}

var encoder = sync.OnceValue(func() *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return w
})

// compressed returns b as one frame.
func compressed(b []byte) []byte { return encoder().EncodeAll(b, nil) }

// splitOf returns the tar-split data of a tar.
func splitOf(tb testing.TB, tarball []byte) []storage.Entry {
	tb.Helper()
	var lines bytes.Buffer
	r, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(tarball), storage.NewJSONPacker(&lines), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		tb.Fatal(err)
	}
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	var entries []storage.Entry
	for d := json.NewDecoder(&lines); ; {
		var e storage.Entry
		if err := d.Decode(&e); err == io.EOF {
			return entries
		} else if err != nil {
			tb.Fatal(err)
		}
		entries = append(entries, e)
	}
}

// write returns the blob of a tar.
func (n naive) write(tb testing.TB, tarball []byte) ([]byte, Location) {
	tb.Helper()
	var blob, headers bytes.Buffer
	frame := func(b []byte) {
		if len(b) > 0 {
			blob.Write(compressed(b))
		}
	}
	toc := TOC{Version: 1}
	r := tar.NewReader(bytes.NewReader(tarball))
	r.RawAccounting = true
	read := 0
	for {
		h, err := r.Next()
		raw := r.RawBytes()
		headers.Write(raw)
		read += len(raw)
		if err == io.EOF {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		read += len(content)
		if n.share {
			headers.Write(content)
		} else if len(content) > 0 {
			frame(headers.Bytes())
			headers.Reset()
		}
		e := Entry{Type: map[byte]string{'0': "reg", '1': "hardlink", '2': "symlink", '3': "char", '4': "block", '5': "dir", '6': "fifo"}[h.Typeflag],
			Name: h.Name, LinkName: h.Linkname, Mode: h.Mode, Size: h.Size, UID: h.Uid, GID: h.Gid, DevMajor: h.Devmajor, DevMinor: h.Devminor,
			ModTime: timeOf(h.ModTime), AccessTime: timeOf(h.AccessTime), ChangeTime: timeOf(h.ChangeTime)}
		for key, value := range h.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
				if e.Xattrs == nil {
					e.Xattrs = make(map[string]string)
				}
				e.Xattrs[name] = base64.StdEncoding.EncodeToString([]byte(value))
			}
		}
		entries := []Entry{e}
		if len(content) > 0 {
			size := n.chunk
			if size == 0 {
				size = len(content)
			}
			entries[0].Digest, entries[0].Offset = digest.FromBytes(content).String(), int64(blob.Len())
			at := 0
			for chunk := range slices.Chunk(content, size) {
				if at > 0 {
					entries = append(entries, Entry{Type: TypeChunk, Name: h.Name, ChunkOffset: int64(at)})
				}
				if len(chunk) < len(content) {
					last := &entries[len(entries)-1]
					last.Offset, last.ChunkSize, last.ChunkDigest = int64(blob.Len()), int64(len(chunk)), digest.FromBytes(chunk).String()
					if len(bytes.Trim(chunk, "\x00")) == 0 {
						last.ChunkType = "zeros"
					}
				}
				if !n.share {
					frame(chunk)
				}
				at += len(chunk)
			}
			entries[0].EndOffset = int64(blob.Len())
		}
		toc.Entries = append(toc.Entries, entries...)
	}
	headers.Write(tarball[read:])
	frame(headers.Bytes())

	parts := splitOf(tb, tarball)
	if n.split != nil {
		parts = n.split(parts)
	}
	var lines bytes.Buffer
	for d, i := json.NewEncoder(&lines), 0; i < len(parts); i++ {
		if err := d.Encode(parts[i]); err != nil {
			tb.Fatal(err)
		}
	}
	split := lines.String()
	if n.splitRaw != nil {
		split = n.splitRaw(split)
	}
	splitZ := compressed([]byte(split))
	toc.TarSplitDigest = digest.FromBytes(splitZ)
	if n.toc != nil {
		n.toc(&toc)
	}
	tocJSON, err := json.Marshal(toc)
	if err != nil {
		tb.Fatal(err)
	}
	if n.tocJSON != nil {
		tocJSON = []byte(n.tocJSON(string(tocJSON)))
	}
	tocZ := compressed(tocJSON)
	loc := Location{Digest: digest.FromBytes(tocZ), TOC: Span{int64(blob.Len()) + 8, int64(len(tocZ)), int64(len(tocJSON))}}
	loc.TarSplit = Span{loc.TOC.Offset + loc.TOC.Length + 8, int64(len(splitZ)), int64(len(split))}
	footer := loc.Footer()
	if n.loc != nil {
		n.loc(&loc)
	}
	if n.tail != nil {
		blob.Write(n.tail(tocZ, splitZ, footer))
	} else {
		blob.Write(slices.Concat(skippable(tocZ), skippable(splitZ), skippable(footer)))
	}
	return blob.Bytes(), loc
}

func skippable(b []byte) []byte {
	frame := binary.LittleEndian.AppendUint32([]byte("\x50\x2A\x4D\x18"), uint32(len(b)))
	return append(frame, b...)
}

func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// problems returns what Check says about a blob.
func problems(blob []byte, loc Location, diffID digest.Digest) (lines []string, err error) {
	err = Check(bytes.NewReader(blob), loc, diffID, func(entry, problem string) {
		if entry != "" {
			problem = entry + ": " + problem
		}
		lines = append(lines, problem)
	})
	return lines, err
}
