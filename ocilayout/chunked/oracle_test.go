package chunked

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"
)

// pull gets a layer as podman does from its chunks alone, and returns the tar that podman would put together.
// It is simple, trusts nothing, and shares no code with Check.
func pull(blob []byte, loc Location) ([]byte, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	part := func(from, to int64) ([]byte, error) {
		if from < 0 || to < from || to > int64(len(blob)) {
			return nil, errors.New("beyond the blob")
		}
		return z.DecodeAll(blob[from:to], nil)
	}
	table := func(s Span, want digest.Digest) ([]byte, error) {
		if got := digest.FromBytes(blob[s.Offset : s.Offset+s.Length]); got != want {
			return nil, fmt.Errorf("digest %s, want %s", got, want)
		}
		return part(s.Offset, s.Offset+s.Length)
	}
	tocJSON, err := table(loc.TOC, loc.Digest)
	if err != nil {
		return nil, err
	}
	var toc TOC
	if err := json.Unmarshal(tocJSON, &toc); err != nil {
		return nil, err
	}
	split, err := table(loc.TarSplit, toc.TarSplitDigest)
	if err != nil {
		return nil, err
	}
	files := make(contents)
	entries := make(map[string]*Entry)
	for i := 0; i < len(toc.Entries); i++ {
		e := &toc.Entries[i]
		if entries[e.Name] != nil {
			return nil, fmt.Errorf("%q twice", e.Name)
		}
		entries[e.Name] = e
		chunks := []*Entry{e}
		for ; i+1 < len(toc.Entries) && toc.Entries[i+1].Type == TypeChunk; i++ {
			chunks = append(chunks, &toc.Entries[i+1])
		}
		if e.Type != TypeFile || e.Size == 0 {
			continue
		}
		var content []byte
		for j, c := range chunks {
			end := e.EndOffset
			if j+1 < len(chunks) {
				end = chunks[j+1].Offset
			}
			b, err := part(c.Offset, end)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", e.Name, err)
			}
			if len(chunks) > 1 && (int64(len(b)) != c.ChunkSize || digest.FromBytes(b).String() != c.ChunkDigest || int64(len(content)) != c.ChunkOffset) {
				return nil, fmt.Errorf("%q: chunk %d is another", e.Name, j)
			}
			if c.ChunkType == "zeros" && len(bytes.Trim(b, "\x00")) > 0 {
				return nil, fmt.Errorf("%q: chunk %d is no zeros", e.Name, j)
			}
			content = append(content, b...)
		}
		if int64(len(content)) != e.Size || digest.FromBytes(content).String() != e.Digest {
			return nil, fmt.Errorf("%q has another digest", e.Name)
		}
		files[e.Name] = content
	}
	if err := asm.IterateHeaders(storage.NewJSONUnpacker(bytes.NewReader(split)), func(h *tar.Header) error {
		e := entries[h.Name]
		if e == nil {
			return fmt.Errorf("%q is not in the TOC", h.Name)
		}
		delete(entries, h.Name)
		if e.Type != typeOf(h.Typeflag) || e.LinkName != h.Linkname || e.Mode != h.Mode || e.Size != h.Size || e.UID != h.Uid || e.GID != h.Gid || e.DevMajor != h.Devmajor || e.DevMinor != h.Devminor {
			return fmt.Errorf("%q: %+v, but the header has %+v", h.Name, e, h)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%d entries are not in the tar-split data", len(entries))
	}
	var tarball bytes.Buffer
	err = asm.WriteOutputTarStream(files, storage.NewJSONUnpacker(bytes.NewReader(split)), &tarball)
	return tarball.Bytes(), err
}

// contents are the files of a layer, by name.
type contents map[string][]byte

func (c contents) Get(name string) (io.ReadCloser, error) {
	if b, ok := c[name]; ok {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return nil, fmt.Errorf("no file %q", name)
}
