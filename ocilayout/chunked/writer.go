package chunked

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unicode/utf8"
)

// Writer makes the tables of a layer while its blob is written. Two goroutines may use it at the same time:
// one passes the tar to the scanner, the other adds the entries, in the same order.
type Writer struct {
	Scanner *Scanner // follows the tar

	toc      *table
	tarSplit *table
	line     []byte
	count    int  // entries so far
	illegal  bool // a name or a link is not UTF-8
}

// NewWriter returns a writer of tables. The caller must call Close in the end.
func NewWriter(e *Encoders) *Writer {
	w := &Writer{toc: e.toc.table(), tarSplit: e.tarSplit.table()}
	w.Scanner = newScanner(&tarSplit{w: w.tarSplit})
	return w
}

// Close gives memory back.
func (w *Writer) Close() {
	_ = w.toc.close() // without Finish, the tables are not used
	_ = w.tarSplit.close()
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
	w.illegal = w.illegal || !utf8.ValidString(e.Name) || !utf8.ValidString(e.LinkName)
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
	w.count++
	w.line = appendEntry(w.line, e)
	_, err := w.toc.Write(w.line)
	return err
}

// Finish returns the end of a blob whose frames have size bytes, and where its tables are.
//
// A layer has no tables, and is an ordinary layer, if a name is not UTF-8, which JSON cannot express,
// or if a table is too large for its readers: a TOC of more than 150 MiB, which is about 400,000 files, or of more than [MaxEntries].
func (w *Writer) Finish(size int64) (tail []byte, l Location, err error) {
	if err := w.Scanner.Close(); err != nil {
		return nil, l, err
	}
	if err := w.tarSplit.close(); err != nil {
		return nil, l, fmt.Errorf("compress tar-split data: %w", err)
	}
	end := fmt.Sprintf(`],"tarSplitDigest":%q}`, w.tarSplit.digest())
	if w.count == 0 {
		end = `{"version":1,"entries":[` + end
	}
	if _, err = w.toc.Write([]byte(end)); err == nil {
		err = w.toc.close()
	}
	if err != nil {
		return nil, l, fmt.Errorf("compress TOC: %w", err)
	}
	if w.illegal || w.count > MaxEntries || w.toc.size > MaxTable || w.toc.compressed.Len() > MaxTable || w.tarSplit.compressed.Len() > MaxTable {
		return nil, Location{}, nil
	}
	l.Digest = w.toc.digest()
	l.TOC = Span{size + skippableHead, int64(w.toc.compressed.Len()), w.toc.size}
	l.TarSplit = Span{l.TOC.Offset + l.TOC.Length + skippableHead, int64(w.tarSplit.compressed.Len()), w.tarSplit.size}
	tail = appendSkippable(nil, w.toc.compressed.Bytes())
	tail = appendSkippable(tail, w.tarSplit.compressed.Bytes())
	return appendSkippable(tail, l.Footer()), l, nil
}

// appendSkippable appends a frame that readers of the tar pass over.
func appendSkippable(b, content []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, skippableMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	return append(b, content...)
}
