package chunked

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"unicode/utf8"
)

// Writer makes the tables of a layer while its blob is written. Two goroutines may use it at the same time:
// one passes the tar to the scanner, the other adds the entries, in the same order.
type Writer struct {
	Scanner *Scanner // follows the tar

	toc      *table
	tarSplit *table
	line     []byte
	count    int         // entries so far
	none     atomic.Bool // the layer cannot have tables
}

// NewWriter returns a writer of tables. The caller must call Close in the end.
// If spill is not nil, it makes the temporary files in which large tables wait; the Writer closes them.
func NewWriter(e *Encoders, spill func() (*os.File, error)) *Writer {
	w := &Writer{}
	w.toc = e.toc.table(spill, MaxTable, &w.none)
	w.tarSplit = e.tarSplit.table(spill, math.MaxInt64, &w.none)
	w.Scanner = newScanner(&tarSplit{w: w.tarSplit})
	return w
}

// Close gives memory and temporary files back.
func (w *Writer) Close() {
	w.toc.drop()
	w.tarSplit.drop()
}

// Chunk is a part of a file that can be fetched alone.
type Chunk struct {
	Size   int64             // of the part, before compression
	Sum    [sha256.Size]byte // of the part
	Offset int64             // of its frame in the blob
}

// Add adds an entry to the TOC. Chunks are those of a file that is not empty; the frame of the last one ends at end,
// and sum is that of the whole file.
func (w *Writer) Add(e *Entry, chunks []Chunk, end int64, sum [sha256.Size]byte) error {
	if !utf8.ValidString(e.Name) || !utf8.ValidString(e.LinkName) {
		w.none.Store(true)
	}
	if len(chunks) == 0 {
		return w.entry(e)
	}
	file := *e
	file.Digest, file.Offset, file.EndOffset = sumText(sum), chunks[0].Offset, end
	if len(chunks) > 1 {
		file.ChunkSize, file.ChunkDigest = chunks[0].Size, sumText(chunks[0].Sum)
	}
	if err := w.entry(&file); err != nil {
		return err
	}
	at := chunks[0].Size
	for i, c := range chunks[1:] {
		chunk := Entry{Type: TypeChunk, Name: e.Name, Offset: c.Offset, ChunkSize: c.Size, ChunkOffset: at, ChunkDigest: sumText(c.Sum)}
		if i == len(chunks)-2 {
			chunk.EndOffset = end // otherwise podman fetches the frame behind it, too
		}
		if err := w.entry(&chunk); err != nil {
			return err
		}
		at += c.Size
	}
	return nil
}

func sumText(sum [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

func (w *Writer) entry(e *Entry) error {
	if w.count == 0 {
		w.line = append(w.line[:0], `{"version":1,"entries":[`...)
	} else {
		w.line = append(w.line[:0], ',')
	}
	if w.count++; w.count > MaxEntries {
		w.none.Store(true)
	}
	w.line = appendEntry(w.line, e)
	_, err := w.toc.Write(w.line)
	return err
}

// Finish writes the end of a blob whose frames have size bytes, and returns where its tables are.
//
// A layer has no tables, and is an ordinary layer, if a name is not UTF-8, which JSON cannot express,
// or if a table is too large for its readers: a TOC of more than 150 MiB, which is about 400,000 files, or of more than [MaxEntries].
// Then nothing is written, and the Location is zero.
func (w *Writer) Finish(size int64, blob io.Writer) (l Location, err error) {
	if err := w.Scanner.Close(); err != nil {
		return l, err
	}
	if w.none.Load() {
		return l, nil
	}
	if err := w.tarSplit.close(); err != nil {
		return l, fmt.Errorf("compress tar-split data: %w", err)
	}
	end := fmt.Sprintf(`],"tarSplitDigest":%q}`, w.tarSplit.compressed.digest())
	if w.count == 0 {
		end = `{"version":1,"entries":[` + end
	}
	_, err = w.toc.Write([]byte(end))
	if err == nil && !w.none.Load() {
		err = w.toc.close()
	}
	if err != nil {
		return l, fmt.Errorf("compress TOC: %w", err)
	}
	if w.none.Load() || w.toc.compressed.n > MaxTable || w.tarSplit.compressed.n > MaxTable {
		return l, nil
	}
	l.Digest = w.toc.compressed.digest()
	l.TOC = Span{size + skippableHead, w.toc.compressed.n, w.toc.size}
	l.TarSplit = Span{l.TOC.Offset + l.TOC.Length + skippableHead, w.tarSplit.compressed.n, w.tarSplit.size}
	for _, t := range []*table{w.toc, w.tarSplit} {
		if _, err := blob.Write(appendSkippableHead(nil, t.compressed.n)); err != nil {
			return Location{}, err
		}
		if err := t.compressed.copyTo(blob); err != nil {
			return Location{}, err
		}
	}
	if _, err := blob.Write(appendSkippable(nil, l.Footer())); err != nil {
		return Location{}, err
	}
	return l, nil
}

// appendSkippable appends a frame that readers of the tar pass over.
func appendSkippable(b, content []byte) []byte {
	return append(appendSkippableHead(b, int64(len(content))), content...)
}

// appendSkippableHead appends what comes before the n bytes of such a frame.
func appendSkippableHead(b []byte, n int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, skippableMagic)
	return binary.LittleEndian.AppendUint32(b, uint32(n))
}
