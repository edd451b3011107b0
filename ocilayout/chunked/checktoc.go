package chunked

import (
	"archive/tar"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

type tarHeader = tar.Header

// checkTOC compares the TOC with the tar.
type checkTOC struct {
	c     *Checker
	r     *TOCReader // nil after the first problem that makes the rest meaningless
	ahead *Entry     // the next entry, if it was read
	count int        // of entries that are no chunks
}

func (c *Checker) openTOC() *checkTOC {
	t := &checkTOC{c: c}
	if c.toc == nil {
		c.missing(inTOC, c.loc.TOC)
		return t
	}
	table, err := newTableReader(c.toc, c.loc.TOC, MaxTable, c.loc.Digest)
	if err != nil {
		c.problem(inTOC, err)
		return t
	}
	t.r = newTOCReader(table, c.loc)
	return t
}

// stop reports a problem that makes the rest meaningless.
func (t *checkTOC) stop(err error) {
	t.c.problem(inTOC, err)
	t.r.Close()
	t.r = nil
}

// next returns the next entry, or nil at the end and if it is unreadable.
func (t *checkTOC) next() *Entry {
	if e := t.ahead; e != nil {
		t.ahead = nil
		return e
	}
	e, err := t.r.Next()
	if err != nil {
		if err != io.EOF {
			t.stop(err)
		}
		return nil
	}
	return e
}

// entry compares the next entry with the tar's, whose frames end before end, and whose headers are h, if they are known.
func (t *checkTOC) entry(e *tarEntry, end int, h *tarHeader) {
	if t.r == nil {
		return
	}
	first := t.next()
	if t.r == nil {
		return
	}
	if first == nil {
		t.stop(fmt.Errorf("it has %d entries, but the tar has %d", t.count, t.c.tar.entries.n))
		return
	}
	t.count++
	name := first.Name
	report := func(format string, args ...any) { t.c.problem(inTOC, &EntryError{name, fmt.Errorf(format, args...)}) }
	if h != nil {
		if h.Name != name {
			t.stop(&EntryError{name, fmt.Errorf("stands where the tar has %s", quote(h.Name))})
			return
		}
		compareHeader(first, h, report)
	}
	if h == nil && first.Size != e.size {
		report("has %d bytes, but %d in the tar", first.Size, e.size)
	}
	if first.Type != TypeFile || first.Size == 0 {
		return
	}
	if !e.content.is(first.Digest) {
		report("has the digest %s, but other contents in the tar", first.Digest)
	}
	if err := t.chunks(first, e, end-e.frames); err != nil {
		report("%w", err)
	}
}

// chunks compares the chunks of a file with its frames, and returns the first difference.
func (t *checkTOC) chunks(first *Entry, e *tarEntry, frames int) (differs error) {
	if e.unaligned {
		differs = errors.New("its contents share a frame of the blob with something else")
	}
	end, count := first.EndOffset, 0
	for chunk := first; ; count++ {
		if differs == nil && count < frames {
			differs = compareChunk(chunk, t.c.tar.frames.at(e.frames+count))
		}
		if chunk = t.next(); chunk == nil || chunk.Type != TypeChunk {
			t.ahead = chunk
			break
		}
	}
	count++
	switch {
	case differs != nil:
		return differs
	case t.r == nil: // the next entry is unreadable
		return nil
	case count != frames:
		return fmt.Errorf("has %d chunks, but %d frames in the blob", count, frames)
	}
	if last := t.c.tar.frames.at(e.frames + count - 1); end != last.end {
		return fmt.Errorf("ends at byte %d of the blob, but its last frame ends at byte %d", end, last.end)
	}
	return nil
}

// is reports whether s is a digest, or whether there is no digest.
func (s *sum) is(d string) bool {
	var digits [2 * len(s)]byte
	hex.Encode(digits[:], s[:])
	return d == "" || strings.TrimPrefix(d, "sha256:") == string(digits[:])
}

// compareChunk compares a chunk with its frame.
func compareChunk(e *Entry, f *contentFrame) error {
	size := e.ChunkSize
	if size == 0 {
		size = e.Size // the file has no other chunk
	}
	differs := func(format string, args ...any) error {
		return fmt.Errorf("its chunk at byte %d %w", e.ChunkOffset, fmt.Errorf(format, args...))
	}
	switch {
	case e.Offset != f.offset:
		return differs("is at byte %d of the blob, but the frame is at byte %d", e.Offset, f.offset)
	case e.Type == TypeChunk && e.EndOffset != 0 && e.EndOffset != f.end:
		return differs("ends at byte %d of the blob, but the frame ends at byte %d", e.EndOffset, f.end)
	case size != f.size:
		return differs("has %d bytes, but the frame has %d", size, f.size)
	case !f.sum.is(e.ChunkDigest):
		return differs("has the digest %s, but the frame has other contents", e.ChunkDigest)
	case e.ChunkType == chunkZeros && !f.zeros:
		return differs("is said to be zeros, but the frame has others")
	}
	return nil
}

// compareHeader compares an entry with its headers in the tar.
func compareHeader(e *Entry, h *tarHeader, report func(format string, args ...any)) {
	differs := func(what string, toc, tar any) {
		report("its %s is %v, but %v in the tar", what, toc, tar)
	}
	if want := typeOf(h.Typeflag); e.Type != want {
		differs("type", e.Type, want)
		return
	}
	if e.LinkName != h.Linkname {
		differs("target", quote(e.LinkName), quote(h.Linkname))
	}
	if e.Mode != h.Mode {
		differs("mode", fmt.Sprintf("%04o", e.Mode), fmt.Sprintf("%04o", h.Mode))
	}
	for _, f := range []struct {
		what     string
		toc, tar int64
	}{
		{"size", e.Size, h.Size},
		{"owner", int64(e.UID), int64(h.Uid)},
		{"group", int64(e.GID), int64(h.Gid)},
		{"major device number", e.DevMajor, h.Devmajor},
		{"minor device number", e.DevMinor, h.Devminor},
	} {
		if f.toc != f.tar {
			differs(f.what, f.toc, f.tar)
		}
	}
	compareTime("modification time", e.ModTime, h.ModTime, differs)
	compareTime("access time", e.AccessTime, h.AccessTime, differs)
	compareTime("change time", e.ChangeTime, h.ChangeTime, differs)
	compareXattrs(e, h, report)
}

// compareTime compares times. A TOC need not have the time 0.
func compareTime(what, toc string, tar time.Time, differs func(what string, toc, tar any)) {
	if toc == plainTime && tar.Equal(time.Unix(1, 0)) {
		return
	}
	want := ""
	if !tar.IsZero() && !tar.Equal(time.Unix(0, 0)) {
		want = tar.UTC().Format(time.RFC3339Nano)
	}
	got := toc
	if t, err := time.Parse(time.RFC3339Nano, toc); err == nil { // TOCReader has checked its form
		if got = t.UTC().Format(time.RFC3339Nano); t.IsZero() || t.Equal(time.Unix(0, 0)) {
			got = ""
		}
	}
	if got != want {
		differs(what, quote(got), quote(want))
	}
}

func compareXattrs(e *Entry, h *tarHeader, report func(format string, args ...any)) {
	var want map[string]string
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok {
			if want == nil {
				want = make(map[string]string)
			}
			want[name] = base64.StdEncoding.EncodeToString([]byte(value))
		}
	}
	if !maps.Equal(want, e.Xattrs) {
		report("has other extended attributes than in the tar")
	}
}

// finish compares what follows the last entry.
func (t *checkTOC) finish(tarSplit []byte) {
	if t.r == nil {
		return
	}
	e := t.next()
	switch {
	case t.r == nil:
		return
	case e != nil:
		t.stop(&EntryError{e.Name, errors.New("is not in the tar")})
		return
	}
	if got, want := digest.FromBytes(tarSplit), t.r.TarSplitDigest(); tarSplit != nil && got != want {
		t.c.problem(inSplit, fmt.Errorf("they have the digest %s, but the TOC says %s", got, want))
	}
	t.r.Close()
}
